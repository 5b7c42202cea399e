/** Durations and sizes as people write them: `1500ms`, `2s`, `64MiB`. */

const msPerUnit: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 };
const bytesPerUnit: Readonly<Record<string, number>> = { B: 1, KiB: 1024, MiB: 1024 ** 2, GiB: 1024 ** 3 };

/** Milliseconds of `250ms`, `1.5s`, `2m`, `1h`; undefined for anything else, also for a bare number. */
export const parseDurationMs = (text: string): number | undefined => parseQuantity(text, msPerUnit);

/** Bytes of `512B`, `64KiB`, `1.5MiB`, `2GiB`; undefined for anything else, also for a bare number. */
export const parseBytes = (text: string): number | undefined => parseQuantity(text, bytesPerUnit);

function parseQuantity(text: string, units: Readonly<Record<string, number>>): number | undefined {
  const match = /^(\d{1,15}(?:\.\d{1,6})?)([A-Za-z]{1,3})$/.exec(text);
  const unit = match?.[2] === undefined || !Object.hasOwn(units, match[2]) ? undefined : units[match[2]];
  if (unit === undefined) return undefined;
  const value = Number(match?.[1]) * unit;
  return Number.isSafeInteger(value) ? value : undefined;
}
