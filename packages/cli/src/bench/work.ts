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

export const failoverWork = (fault: Fault): string => (fault === 'kill' ? 'failover' : `failover, ${fault}`);
