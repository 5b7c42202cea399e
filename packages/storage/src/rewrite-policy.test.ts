/** W1 to W4 of `rewrite-policy.ts`, as a table. */
import { expect, test } from 'vitest';
import { type EntryState, planRewrite, type RewriteRules } from './rewrite-policy.ts';

const MiB = 1024 * 1024;
const rules: RewriteRules = { journalBytesMax: 256 * MiB, spaceAmplificationMax: 1.5, isDiskLow: false };

interface Given {
  /** MiB of batches when it was written; 256. */
  readonly size?: number;
  /** MiB of them that live. */
  readonly live: number;
  /** KiB; 1024. */
  readonly run?: number;
  readonly sorted?: boolean;
  readonly isFit?: boolean;
}

let nextId = 1;

const fileOf = ({ size = 256, live, run = 1024 }: Given): EntryState['files'][number] => {
  const batchBytes = size * MiB;
  const file = { fileId: nextId, bytes: batchBytes + 1000, batchBytes, footerAt: batchBytes, damaged: false };
  nextId += 1;
  return { file, liveBytes: live * MiB, extents: (live * 1024) / run };
};

function entry(...parts: readonly Given[]): EntryState {
  const files = parts.map(fileOf);
  const kind = parts.length > 1 || parts[0]?.sorted === true ? 'sorted' : 'journal';
  return { entry: { kind, files: files.map(({ file }) => file) }, files, isFit: parts[0]?.isFit !== false };
}

/** The place of each entry, and of the part where not all are read. */
function planned(states: readonly EntryState[], others: Partial<RewriteRules> = {}): unknown {
  const plan = planRewrite(states, { ...rules, ...others });
  if (plan === undefined) return undefined;
  const at = plan.entries.map((of) => states.findIndex(({ entry: known }) => known === of));
  const whole = plan.entries.flatMap(({ files }) => files);
  const parts = plan.files.map((file) => whole.indexOf(file));
  return plan.files.length === whole.length ? [plan.why, ...at] : [plan.why, ...at, { parts }];
}

const full = { live: 256 };
const half = { live: 128 };
const short = { live: 256, run: 20 };
const tiny = { size: 1, live: 1, sorted: true };

test('what lives is left alone', () => {
  expect(planned([])).toBe(undefined);
  expect(planned([entry(full), entry(full), entry(full)])).toBe(undefined);
});

test('W1 dead files go at once, but for the oldest, which are dropped', () => {
  expect(planned([entry({ live: 0 }), entry(full)])).toBe(undefined);
  expect(planned([entry({ live: 0 })])).toBe(undefined);
  expect(planned([entry(full), entry({ live: 0 }), entry(full)])).toEqual(['dead', 1]);
  expect(planned([entry(full), entry(full, { live: 0 }, full)])).toEqual(['dead', 1, { parts: [1] }]);
  // A file of footers alone gives nothing back.
  expect(planned([entry(full), entry({ size: 0, live: 0, sorted: true }), entry(full)])).toBe(undefined);
});

test('W2 within the bound garbage stays; beyond it that goes which gives back the most', () => {
  expect(planned([entry(half), entry(full)])).toBe(undefined);
  const much = [entry(half), entry({ live: 250 }), entry({ live: 10 }), entry({ live: 250 }), entry(half), entry(half)];
  expect(planned(much)).toBe(undefined);
  const more = [...much, entry({ live: 20 }), entry({ live: 30 }), entry({ live: 250 })];
  expect(planned(more)).toEqual(['garbage', 2]);
  // Neighbours that are a third garbage go with it, not those that live.
  const neighbours = [entry(full), entry({ live: 30 }), entry({ live: 10 }), entry({ live: 100 }), entry(full)];
  expect(planned(neighbours, { spaceAmplificationMax: 0.5 })).toEqual(['garbage', 1, 2, 3]);
  // The live bytes that are copied at once are bounded by four files.
  expect(planned(Array.from({ length: 20 }, () => entry({ live: 100 })))).toEqual(['garbage', ...range(0, 10)]);
});

test('W2 of a set only the part goes that is worth it', () => {
  const parts = [entry(full, { live: 10 }, half), entry(full)];
  expect(planned(parts, { journalBytesMax: MiB })).toEqual(['garbage', 0, { parts: [1] }]);
});

test('W3 short runs of four files come together, those that cannot be more at once', () => {
  expect(planned([short, short, short].map((given) => entry(given)))).toBe(undefined);
  expect(planned([short, short, short, short, short].map((given) => entry(given)))).toEqual(['short runs', 0, 1, 2, 3]);
  expect(planned([full, short, short, full].map((given) => entry(given)))).toEqual(['short runs', 1, 2]);
  expect(planned([full, short, full].map((given) => entry(given)))).toBe(undefined);
  expect(planned([short, short, short, short].map((given) => entry({ ...given, sorted: true })))).toBe(undefined);
});

test('W4 small sets of like size come together', () => {
  const eight = Array.from({ length: 8 }, () => entry(tiny));
  expect(planned(eight.slice(1))).toBe(undefined);
  expect(planned([entry(full), ...eight])).toEqual(['small files', ...range(1, 9)]);
  // One that holds as much as all others is not copied for them.
  expect(planned([entry({ size: 10, live: 10, sorted: true }), ...eight.slice(1)])).toBe(undefined);
  expect(planned([entry({ size: 10, live: 10, sorted: true }), ...eight])).toEqual(['small files', ...range(1, 9)]);
});

test('what is damaged or in use is not touched, and bounds ranges', () => {
  const unfit = { ...short, isFit: false };
  expect(planned([short, short, unfit, short, short].map((given) => entry(given)))).toEqual(['short runs', 0, 1]);
  expect(planned([entry(full), entry({ live: 0, isFit: false }), entry(full)])).toBe(undefined);
  const garbage = [entry({ live: 10 }), entry({ live: 1, isFit: false }), entry({ live: 10 })];
  expect(planned(garbage, { journalBytesMax: MiB })).toEqual(['garbage', 0]);
});

test('while the disk is low only what gives space back is done', () => {
  const shorts = Array.from({ length: 5 }, () => entry(short));
  expect(planned(shorts, { isDiskLow: true })).toBe(undefined);
  expect(planned([entry(full), entry({ live: 0 }), entry(full)], { isDiskLow: true })).toEqual(['dead', 1]);
});

const range = (from: number, to: number): number[] => Array.from({ length: to - from }, (_, n) => from + n);
