/** Names of works, as the other systems' figures have them, so that lines stand side by side in one table. */
export interface ProduceWork {
  readonly recordBytes: number;
  readonly rate: number | undefined;
  /** True when batch size or linger differ from the client's own. */
  readonly tuned: boolean;
}

export function produceWork({ recordBytes, rate, tuned }: ProduceWork): string {
  const base = rate === undefined ? `produce-max ${recordBytes} B` : `produce ${rate}/s ${recordBytes} B`;
  return tuned ? `${base}, tuned` : base;
}

export function consumeWork({
  recordBytes,
  decode,
}: {
  readonly recordBytes: number;
  readonly decode: boolean;
}): string {
  return decode ? `consume-max ${recordBytes} B, decoded` : `consume-max ${recordBytes} B`;
}

export const endToEndWork = ({ rate, recordBytes }: { readonly rate: number; readonly recordBytes: number }): string =>
  `end-to-end ${rate}/s ${recordBytes} B`;

/** What happens to the leader: SIGKILL, SIGSTOP until the round is over, or SIGTERM. */
export const faults = ['kill', 'pause', 'shutdown'] as const;
export type Fault = (typeof faults)[number];

/** Whom it strikes: whoever leads the first partition, each node in turn that leads any, or whoever leads the controller. */
export const roles = ['leader', 'any', 'controller'] as const;
export type Role = (typeof roles)[number];

export interface FailoverWork {
  readonly fault: Fault;
  readonly role: Role;
  readonly partitions: number;
}

/** `failover` alone is what the other systems measure: one partition, whose leader is killed. */
export function failoverWork({ fault, role, partitions }: FailoverWork): string {
  const parts = ['failover'];
  if (fault !== 'kill') parts.push(fault);
  if (role !== 'leader') parts.push(`role ${role}`);
  if (partitions !== 1) parts.push(`${partitions} partitions`);
  return parts.join(', ');
}
