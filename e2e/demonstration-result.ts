import { isClean } from '@sluice/sim/ledger';
import type { Verdict } from '@sluice/sim/ledger';

/** The object that `npm start -- --once --json` ends with. */
export interface DemonstrationResult {
  readonly ok: boolean;
  readonly acked: number;
  readonly consumed: number;
  readonly lost: number;
  readonly duplicated: number;
  readonly reordered: number;
  readonly failoverMs: number;
  readonly nodes: number;
}

export function demonstrationResult(found: Verdict, failoverMs: number, nodes: number): DemonstrationResult {
  const { acked, consumed, lost, duplicated, reordered } = found;
  return { ok: isClean(found), acked, consumed, lost, duplicated, reordered, failoverMs, nodes };
}

/** 0 only when nothing was lost, duplicated or reordered. */
export const exitCodeOf = ({ ok }: DemonstrationResult): 0 | 1 => (ok ? 0 : 1);
