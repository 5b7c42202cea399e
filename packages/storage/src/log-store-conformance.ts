/** What every `LogStore` does. Run over each disk: `logStoreConformance('MemoryDisk', open)`. */
import { InvariantError, type Offset, SeededRandom } from '@sluice/base';
import { crc32c } from '@sluice/record';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { LogModel } from './log-model.ts';
import type { LogStore, ReadBatches, ReadResult } from './log-store.ts';
import type { NodeLog } from './node-log.ts';
import { at, concat, testBatch, testSpan } from './test-batches.ts';
import { contents, durable, testLogId } from './test-node-log.ts';

export interface NodeLogUnderTest {
  /** Opens it, or closes it and opens it again over the same disk. */
  reopen(): Promise<NodeLog>;
  /** Moves its clocks; no timer fires. */
  passTime(ms: number): void;
  wallMs(): number;
  close(): Promise<void>;
}

export function logStoreConformance(name: string, open: () => Promise<NodeLogUnderTest>): void {
  describe(`LogStore over ${name}`, () => {
    let under: NodeLogUnderTest;
    beforeEach(async () => {
      under = await open();
    });
    afterEach(async () => {
      await under.close();
    });
    const subject = (): NodeLogUnderTest => under;
    readRules(subject);
    cutRules(subject);
    lifeRules(subject);
    retentionRules(subject);
    timeRules(subject);
    modelRules(subject);
  });
}

/** Appends batches of two records each and returns their bytes. */
function fill(log: LogStore, batches: number, mark = 0, valueBytes = 50): Uint8Array[] {
  return Array.from({ length: batches }, () => {
    const base = log.endOffset;
    const batch = testBatch({ base, records: 2, valueBytes, mark });
    log.append(batch.slice(), testSpan(base, base + 2));
    return batch;
  });
}

function batchesOf(result: ReadResult): ReadBatches {
  if (result.kind !== 'batches') throw new Error(`out of range: ${result.startOffset} to ${result.endOffset}`);
  return result;
}

function readRules(subject: () => NodeLogUnderTest): void {
  test('what was appended is read at once, and is durable later', async () => {
    const node = await subject().reopen();
    const log = node.log(testLogId(1));
    const reports: number[] = [];
    log.onDurable = (offset) => reports.push(offset);
    const parts = fill(log, 3);
    expect([log.startOffset, log.endOffset, log.durableOffset]).toEqual([0, 6, 0]);
    const read = log.read(at(0), at(6), 100_000);
    expect(read).not.toBeInstanceOf(Promise);
    expect(concat(batchesOf(await read).batches)).toEqual(concat(parts));
    const done = new Promise<void>((resolve) => {
      log.onDurable = (offset) => {
        reports.push(offset);
        resolve();
      };
    });
    await done;
    expect(reports).toEqual([6]);
    expect(log.durableOffset).toBe(6);
  });

  test('a read starts with the batch that holds the offset, and ends by size and by limit, with one batch at least', async () => {
    const node = await subject().reopen();
    const log = node.log(testLogId(1));
    const parts = fill(log, 5);
    const one = parts[0]?.length ?? 0;
    await durable(log);
    const inside = batchesOf(await log.read(at(3), at(10), 100_000));
    expect(concat(inside.batches)).toEqual(concat(parts.slice(1)));
    expect(inside.endOffset).toBe(10);
    const small = batchesOf(await log.read(at(2), at(10), 1));
    expect([small.bytes, small.endOffset]).toEqual([one, 4]);
    const two = batchesOf(await log.read(at(2), at(10), one * 2 + 10));
    expect([two.bytes, two.endOffset]).toEqual([one * 2, 6]);
    const limited = batchesOf(await log.read(at(2), at(7), 100_000));
    expect(limited.endOffset).toBe(6);
    const nothing = batchesOf(await log.read(at(4), at(4), 100_000));
    expect([nothing.bytes, nothing.endOffset]).toEqual([0, 4]);
  });

  test('what is read at once begins where the log says; all of it is read, whichever side it lies on', async () => {
    const isAtOnce = (log: LogStore, from: number): boolean =>
      !(log.read(at(from), log.endOffset, 1) instanceof Promise);
    let log = (await subject().reopen()).log(testLogId(1));
    fill(log, 3);
    expect([log.tailStart, isAtOnce(log, 0)]).toEqual([0, true]);
    await durable(log);
    log = (await subject().reopen()).log(testLogId(1));
    expect([log.tailStart, isAtOnce(log, 4), isAtOnce(log, 6)]).toEqual([6, false, true]);
    fill(log, 1);
    expect([log.tailStart, isAtOnce(log, 5), isAtOnce(log, 6)]).toEqual([6, false, true]);
    log.truncate(at(4));
    expect([log.tailStart, isAtOnce(log, 3), isAtOnce(log, 4)]).toEqual([4, false, true]);
  });

  test('offsets outside of the log are told apart', async () => {
    const node = await subject().reopen();
    const log = node.log(testLogId(1));
    fill(log, 2);
    expect(await log.read(at(5), at(9), 100)).toEqual({ kind: 'out-of-range', startOffset: 0, endOffset: 4 });
    expect(batchesOf(await log.read(at(4), at(9), 100)).bytes).toBe(0);
    log.restartAt(at(2));
    expect((await log.read(at(0), at(4), 100)).kind).toBe('out-of-range');
  });

  test('several batches come in one append and out one by one', async () => {
    const node = await subject().reopen();
    const log = node.log(testLogId(1));
    const parts = [0, 3, 6].map((base) => testBatch({ base, records: 3, valueBytes: 20_000 }));
    log.append(concat(parts), testSpan(0, 9));
    await durable(log);
    expect(batchesOf(await log.read(at(4), at(9), 10)).batches[0]).toEqual(parts[1]);
    const again = (await subject().reopen()).log(testLogId(1));
    expect(concat(batchesOf(await again.read(at(4), at(8), 1_000_000)).batches)).toEqual(parts[1]);
  });

  test('headers come in order from the batch that holds the offset', async () => {
    const node = await subject().reopen();
    const log = node.log(testLogId(1));
    fill(log, 40);
    await durable(log);
    const bases: number[] = [];
    for await (const header of log.headers(at(11))) bases.push(header.baseOffset);
    expect(bases).toEqual(Array.from({ length: 35 }, (_, n) => 10 + n * 2));
  });

  test('headers that a trim overtakes go on where the log starts now', async () => {
    const log = (await subject().reopen()).log(testLogId(1));
    fill(log, 6, 0, 200_000);
    const bases: number[] = [];
    for await (const { baseOffset } of log.headers(at(0))) {
      bases.push(baseOffset);
      if (baseOffset === 0) log.restartAt(at(9));
    }
    expect(bases).toEqual([0, 8, 10]);
    await expect(log.headers(at(8))[Symbol.asyncIterator]().next()).rejects.toMatchObject({
      code: 'OFFSET_OUT_OF_RANGE',
    });
    await durable(log);
  });

  test('an append that does not continue the log, or is not what it says, is refused', async () => {
    const node = await subject().reopen();
    const log = node.log(testLogId(1));
    fill(log, 1);
    const batch = testBatch({ base: 5 });
    expect(() => log.append(batch, testSpan(5, 6))).toThrow(InvariantError);
    expect(() => log.append(batch, testSpan(2, 3))).toThrow(InvariantError);
    expect(() => log.append(testBatch({ base: 2 }).subarray(0, 70), testSpan(2, 3))).toThrow(InvariantError);
    expect(log.endOffset).toBe(2);
  });
}

function cutRules(subject: () => NodeLogUnderTest): void {
  test('a truncated log goes on with other batches, and the old ones never return (P7)', async () => {
    let node = await subject().reopen();
    let log = node.log(testLogId(1));
    const old = fill(log, 10);
    await durable(log);
    log.truncate(at(8));
    expect([log.endOffset, log.durableOffset]).toEqual([8, 8]);
    const fresh = fill(log, 2, 7);
    await durable(log);
    const expected = concat([...old.slice(0, 4), ...fresh]);
    expect(concat([await contents(log)])).toEqual(expected);
    for (let round = 0; round < 2; round += 1) {
      node = await subject().reopen();
      log = node.log(testLogId(1));
      expect([log.startOffset, log.endOffset, log.durableOffset]).toEqual([0, 12, 12]);
      expect(concat([await contents(log)])).toEqual(expected);
    }
  });

  test('a truncation is never reported as durable bytes, also when others take the offsets (ABA)', async () => {
    const node = await subject().reopen();
    const log = node.log(testLogId(1));
    fill(log, 5);
    log.truncate(at(4));
    const reports: number[] = [];
    log.onDurable = (offset) => reports.push(offset);
    await durableGroup(node);
    expect(log.durableOffset).toBe(4);
    for (const report of reports) expect(report).toBeLessThanOrEqual(4);
  });

  test('the start moves forward, past the end, and back when the log is empty', async () => {
    let node = await subject().reopen();
    let log = node.log(testLogId(1));
    const old = fill(log, 6);
    await durable(log);
    log.restartAt(at(4));
    expect([log.startOffset, log.endOffset]).toEqual([4, 12]);
    node = await subject().reopen();
    log = node.log(testLogId(1));
    expect(concat([await contents(log)])).toEqual(concat(old.slice(2)));
    const reports: number[] = [];
    log.onDurable = (end) => reports.push(end);
    log.restartAt(at(100));
    // Until the new start is durable a crash brings the old log back.
    expect([log.startOffset, log.endOffset, log.durableOffset]).toEqual([100, 100, 12]);
    await durableGroup(node);
    expect(reports).toEqual([100]);
    expect(log.durableOffset).toBe(100);
    log.restartAt(at(6));
    const fresh = fill(log, 2, 9);
    await durable(log);
    node = await subject().reopen();
    log = node.log(testLogId(1));
    expect([log.startOffset, log.endOffset]).toEqual([6, 10]);
    expect(concat([await contents(log)])).toEqual(concat(fresh));
  });

  test('the start may lie inside a batch, which stays, also for one that goes on from there', async () => {
    let node = await subject().reopen();
    let log = node.log(testLogId(1));
    const parts = fill(log, 4);
    await durable(log);
    log.restartAt(at(5));
    expect([log.startOffset, log.durableStart]).toEqual([5, 0]);
    const told: number[] = [];
    log.onDurable = () => told.push(log.durableStart);
    await durableGroup(node);
    expect(told).toEqual([5]);
    expect((await log.read(at(4), at(8), 100)).kind).toBe('out-of-range');
    const next = node.log(testLogId(2));
    next.restartAt(at(5));
    expect(() => next.append(testBatch({ base: 3, records: 2 }), testSpan(3, 5))).toThrow(InvariantError);
    for (const part of parts.slice(2))
      next.append(part.slice(), testSpan(next.endOffset === 5 ? 4 : 6, next.endOffset === 5 ? 6 : 8));
    await durable(next);
    for (let round = 0; round < 3; round += 1) {
      for (const number of [1, 2]) {
        log = node.log(testLogId(number));
        expect([log.startOffset, log.durableStart, log.endOffset]).toEqual([5, 5, 8]);
        expect(batchesOf(await log.read(at(5), at(6), 100_000)).endOffset).toBe(6);
        expect(concat([await contents(log)])).toEqual(concat(parts.slice(2)));
      }
      node = await subject().reopen();
    }
    expect(node.lossy).toEqual([]);
  });
}

function lifeRules(subject: () => NodeLogUnderTest): void {
  test('a deleted log is gone, and a new one of the same id starts empty', async () => {
    let node = await subject().reopen();
    fill(node.log(testLogId(1)), 3);
    fill(node.log(testLogId(2)), 1);
    await durableGroup(node);
    node.log(testLogId(1)).delete();
    expect(node.logIds()).toEqual([testLogId(2)]);
    const reborn = node.log(testLogId(1));
    expect(reborn.endOffset).toBe(0);
    const fresh = fill(reborn, 1, 5);
    await durable(reborn);
    node = await subject().reopen();
    expect(concat([await contents(node.log(testLogId(1)))])).toEqual(concat(fresh));
    node.log(testLogId(1)).delete();
    node = await subject().reopen();
    node = await subject().reopen();
    expect(node.logIds()).toEqual([testLogId(2)]);
    expect(node.lossy).toEqual([]);
  });

  test('a closed log has everything, and takes nothing more', async () => {
    const node = await subject().reopen();
    const log = node.log(testLogId(1));
    const parts = fill(log, 4);
    await node.close();
    expect(log.durableOffset).toBe(8);
    expect(() => fill(log, 1)).toThrow(expect.objectContaining({ code: 'SHUTTING_DOWN' }));
    const again = (await subject().reopen()).log(testLogId(1));
    expect(concat([await contents(again)])).toEqual(concat(parts));
  });
}

const hourMs = 3_600_000;

function retentionRules(subject: () => NodeLogUnderTest): void {
  test('a log knows its bytes, and how far age and size let it go, a file at a time', async () => {
    let log = (await subject().reopen()).log(testLogId(1));
    const one = fill(log, 3)[0]?.length ?? 0;
    await durable(log);
    const before = subject().wallMs();
    // Nothing that is in the open file expires.
    expect([log.bytes, log.expiredEnd({ bytesMax: 0, appendedBeforeMs: before + hourMs })]).toEqual([3 * one, 0]);
    // The file is finished by age when the next group comes.
    subject().passTime(2 * hourMs);
    fill(log, 2);
    await durable(log);
    for (let round = 0; round < 2; round += 1) {
      expect(log.bytes).toBe(5 * one);
      const ends = [
        log.expiredEnd({}),
        log.expiredEnd({ appendedBeforeMs: before - hourMs }),
        log.expiredEnd({ appendedBeforeMs: before + hourMs }),
        log.expiredEnd({ bytesMax: 5 * one }),
        log.expiredEnd({ bytesMax: 2 * one + 1 }),
        log.expiredEnd({ bytesMax: 2 * one }),
        // Either is enough.
        log.expiredEnd({ bytesMax: 2 * one, appendedBeforeMs: before - hourMs }),
        log.expiredEnd({ bytesMax: 5 * one, appendedBeforeMs: before + hourMs }),
      ];
      expect(ends).toEqual([0, 0, 6, 0, 0, 6, 6, 6]);
      log = (await subject().reopen()).log(testLogId(1));
    }
    log.restartAt(at(6));
    await durable(log);
    expect([log.startOffset, log.expiredEnd({ bytesMax: 0 })]).toEqual([6, 6]);
    fill(log, 1);
    await durable(log);
    log.truncate(at(8));
    fill(log, 1);
    await durable(log);
    expect([log.endOffset, log.bytes]).toEqual([10, 3 * one]);
  });

  test('what waits to be cut does not expire, nor what was cut', async () => {
    const node = await subject().reopen();
    const log = node.log(testLogId(1));
    fill(log, 4);
    await durable(log);
    subject().passTime(2 * hourMs);
    fill(log, 1);
    await durable(log);
    expect(log.expiredEnd({ bytesMax: 0 })).toBe(8);
    log.truncate(at(4));
    expect(log.expiredEnd({ bytesMax: 0 })).toBe(4);
    log.restartAt(at(2));
    log.truncate(at(2));
    expect(log.expiredEnd({ bytesMax: 0 })).toBe(2);
    log.restartAt(at(50));
    expect(log.expiredEnd({ bytesMax: 0 })).toBe(50);
    await durableGroup(node);
    expect([log.bytes, log.expiredEnd({ bytesMax: 0 })]).toEqual([0, 50]);
    log.delete();
    expect([log.bytes, log.expiredEnd({ bytesMax: 0 })]).toEqual([0, 50]);
  });
}

function timeRules(subject: () => NodeLogUnderTest): void {
  test('a look-up by time finds the first batch that can hold it, in the tail and behind it', async () => {
    let log = (await subject().reopen()).log(testLogId(1));
    const times = [100, 300, 200, unknownTime, 500];
    for (const [number, timestampMs] of times.entries()) {
      const batch = testBatch({ base: 2 * number, records: 2, timestampMs });
      if (timestampMs === unknownTime) leaveTimeUnset(batch);
      log.append(batch, testSpan(2 * number, 2 * number + 2));
    }
    const look = (): Promise<Offset[]> =>
      Promise.all([0, 100, 101, 250, 301, 501, 9_999].map((sinceMs) => log.offsetSince(sinceMs, at(10))));
    // What does not say its time may hold any.
    const expected = [0, 0, 2, 2, 6, 6, 6];
    expect(await look()).toEqual(expected);
    await durable(log);
    log = (await subject().reopen()).log(testLogId(1));
    expect(await look()).toEqual(expected);
    subject().passTime(2 * hourMs);
    log.append(testBatch({ base: 10, records: 1, timestampMs: 600 }), testSpan(10, 11));
    await durable(log);
    log = (await subject().reopen()).log(testLogId(1));
    expect(await look()).toEqual(expected);
    expect(await log.offsetSince(300, at(2))).toBe(2);
    log.restartAt(at(8));
    expect([await log.offsetSince(0, at(11)), await log.offsetSince(501, at(11))]).toEqual([8, 10]);
    log.truncate(at(10));
    expect(await log.offsetSince(501, at(10))).toBe(10);
  });
}

const unknownTime = 400;

function leaveTimeUnset(batch: Uint8Array): void {
  new DataView(batch.buffer, batch.byteOffset).setBigInt64(35, -1n);
  new DataView(batch.buffer, batch.byteOffset).setUint32(17, crc32c(batch.subarray(21)));
}

function modelRules(subject: () => NodeLogUnderTest): void {
  test('many logs over many files, cut and opened again at random, equal their model', async () => {
    for (let seed = 1; seed <= 6; seed += 1) {
      const random = new SeededRandom(seed);
      const model = new LogModel(5 * seed);
      const differences: (string | undefined)[] = [];
      let node = await subject().reopen();
      for (let step = 0; step < 150; step += 1) {
        model.step(node, random);
        subject().passTime(random.below(60_000));
        if (random.below(30) === 0) model.trimEach(node, random, () => undefined);
        if (random.below(10) === 0) differences.push(model.wronglyExpired(node, random));
        if (random.below(10) === 0) differences.push(await model.wronglyFound(node, random));
        if (random.below(12) === 0) await durableGroup(node);
        if (random.below(40) === 0) {
          node = await subject().reopen();
          differences.push(await model.difference(node));
        }
      }
      node = await subject().reopen();
      differences.push(await model.difference(node));
      expect(differences.filter((difference) => difference !== undefined)).toEqual([]);
      expect(node.lossy).toEqual([]);
      expect(node.raft.doubtful).toBe(false);
    }
  }, 30_000);
}

/** Resolves when everything that was asked for is durable. */
export const durableGroup = (node: NodeLog): Promise<void> => new Promise((resolve) => node.raft.persist({}, resolve));
