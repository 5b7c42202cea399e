/**
 * What a record costs without any network: encoding it into a batch, decoding it, and the checksum of a batch. Copying
 * the batch in memory is the limit that none of them can pass.
 */
import { leaderEpoch, offset } from '../../packages/base/src/mod.ts';
import {
  BatchBuilder,
  batchesIn,
  crc32c,
  decodeRecords,
  installCrc32c,
  RecordDraft,
  patchBatch,
  unstamped,
} from '../../packages/record/src/mod.ts';
import type { RecordContent } from '../../packages/record/src/mod.ts';
import { nativeCrc32c } from '../../packages/wire/src/mod.ts';
import type { BenchFigure } from './figure.ts';

const batchBytesMax = 256 * 1024;
const warmupMs = 200;
const measuredMs = 500;
const timestamp = 1_700_000_000_000;

const noise = (bytes: number): Uint8Array =>
  Uint8Array.from({ length: bytes }, (_, at) => Math.imul(at + 1, 2_654_435_761) >>> 24);

const kinds: readonly { readonly name: string; readonly record: RecordContent }[] = [
  { name: '100 B', record: { value: noise(100) } },
  { name: '1 KiB', record: { value: noise(1024) } },
  { name: '100 B as text, key of 10', record: { key: 'order-1234', value: 'x'.repeat(100) } },
  { name: '100 B, 2 headers', record: { value: noise(100), headers: { traceparent: '00-4bf92f35', tenant: 'acme' } } },
];

export async function* record(): AsyncGenerator<BenchFigure, void, undefined> {
  const native = nativeCrc32c();
  for (const bytes of [128, 4096, batchBytesMax]) {
    const data = noise(bytes);
    const target = new Uint8Array(bytes);
    // Before the native one is installed.
    yield speed(`CRC-32C in JavaScript, ${bytes} B`, bytes, () => crc32c(data));
    if (typeof native !== 'string') yield speed(`CRC-32C native, ${bytes} B`, bytes, () => native(data));
    yield speed(`copy, ${bytes} B`, bytes, () => target.set(data));
  }
  if (typeof native !== 'string') installCrc32c(native);
  for (const { name, record: content } of kinds) {
    const batch = encode(content);
    // As a leader does: consumers are sent nothing else.
    patchBatch(batch, 0, { baseOffset: offset(0), leaderEpoch: leaderEpoch(1) });
    const target = new Uint8Array(batch.length);
    const [found] = batchesIn(batch, 'skip');
    const per = { batch, recordCount: found?.ok === true ? found.header.recordCount : 0 };
    yield figure(`encode ${name}`, per, () => encode(content));
    yield figure(`decode ${name}`, per, () => decode(batch));
    yield figure(`check ${name}`, per, () => [...batchesIn(batch)].length);
    yield figure(`copy ${name}`, per, () => target.set(batch));
  }
}

const draft = new RecordDraft();

function encode(content: RecordContent): Uint8Array {
  const builder = new BatchBuilder({ capacityBytes: batchBytesMax });
  while (builder.append(draft.take(content, timestamp), batchBytesMax) >= 0);
  return builder.build(unstamped);
}

function decode(batch: Uint8Array): number {
  const decoded = decodeRecords(batch);
  let bytes = 0;
  if (decoded.ok) for (const { value } of decoded.value) bytes += value?.length ?? 0;
  return bytes;
}

function figure(
  name: string,
  { batch, recordCount }: { readonly batch: Uint8Array; readonly recordCount: number },
  run: () => unknown,
): BenchFigure {
  const batches = perSecond(run);
  return {
    name,
    recordsPerSecond: Math.round(batches * recordCount),
    mbPerSecond: Number(((batches * batch.length) / 1e6).toFixed(1)),
  };
}

const speed = (name: string, bytes: number, run: () => unknown): BenchFigure => {
  const calls = perSecond(run);
  return { name, mbPerSecond: Number(((calls * bytes) / 1e6).toFixed(1)), nsPerCall: Number((1e9 / calls).toFixed(1)) };
};

function perSecond(run: () => unknown): number {
  runFor(warmupMs, run);
  return runFor(measuredMs, run);
}

function runFor(forMs: number, run: () => unknown): number {
  const startMs = performance.now();
  let calls = 0;
  for (let stepCalls = 1; performance.now() - startMs < forMs; stepCalls = Math.min(1000, stepCalls * 2)) {
    for (let call = 0; call < stepCalls; call += 1) run();
    calls += stepCalls;
  }
  return (calls * 1000) / (performance.now() - startMs);
}
