/** The header `grpc-timeout`. Pure. */

/** The header holds at most eight digits. */
const digitsMax = 99_999_999;

const unitMs: Readonly<Record<string, number>> = {
  H: 3_600_000,
  M: 60_000,
  S: 1_000,
  m: 1,
  u: 0.001,
  n: 0.000_001,
};

/** At least 1 ms: a call that is made has some time. */
export const writeTimeout = (leftMs: number): string => `${Math.min(Math.max(Math.ceil(leftMs), 1), digitsMax)}m`;

/** As loosely as grpc-js reads it, so that both lanes say the same. Milliseconds; undefined when the text is no timeout. */
export function readTimeout(text: string): number | undefined {
  const match = /(\d{1,8})\s*([HMSmun])/.exec(text);
  const unit = unitMs[match?.[2] ?? ''];
  return unit === undefined ? undefined : Number(match?.[1]) * unit;
}
