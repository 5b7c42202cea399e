/** D1: where a damaged log is cut by whoever refills it, after damage of every kind that a disk does. */
import { expect, test } from 'vitest';
import { journalName } from './journal-file.ts';
import type { LogStore } from './log-store.ts';
import { MemoryDisk } from './memory-disk.ts';
import { at, concat, testBatch, testSpan } from './test-batches.ts';
import { contents, durable, openTestNode, testLogId, type TestNode } from './test-node-log.ts';

const limits = { journalBytesMax: 40_000, tailBytesMax: 0, spaceAheadBytes: 0 };
const end = 24;

const batch = (base: number, records = 2): Uint8Array => testBatch({ base, records, valueBytes: 3000, mark: records });

async function append(log: LogStore, base: number, records = 2): Promise<void> {
  log.append(batch(base, records), testSpan(base, base + records));
  await durable(log);
}

const group = (node: TestNode): Promise<void> => new Promise((resolve) => node.log.raft.persist({}, resolve));

async function opened(disk: MemoryDisk): Promise<{ node: TestNode; log: LogStore }> {
  const node = await openTestNode({ disk, limits });
  return { node, log: node.log.log(testLogId(1)) };
}

/** Twelve batches of two records, a few to a file; a process that is killed leaves no footer in the last. */
async function written(last: 'closed' | 'killed' = 'closed'): Promise<MemoryDisk> {
  const disk = new MemoryDisk();
  const { node, log } = await opened(disk);
  for (let base = 0; base < end; base += 2) await append(log, base);
  if (last === 'closed') await node.close();
  else disk.killProcess();
  return disk;
}

/** In the batch that begins there, wherever it lies. */
async function flipIn(disk: MemoryDisk, base: number): Promise<void> {
  for (const name of await disk.list('/node')) {
    if (!name.startsWith('journal-')) continue;
    const position = Buffer.from(disk.durableBytes(`/node/${name}`)).indexOf(batch(base));
    if (position < 0) continue;
    disk.flipBit(`/node/${name}`, position + 3000);
    return;
  }
  throw new Error(`no file has the batch at ${base}`);
}

const readAt = async (log: LogStore, from: number): Promise<void> => {
  await expect(log.read(at(from), log.endOffset, 100_000)).rejects.toMatchObject({ code: 'STORAGE_FAILED' });
};

test.each([0, 2, 6, 10, 12, 18, 22])(
  'damage at %i is told there, whoever reads it from wherever inside',
  async (base) => {
    for (const from of [base, base + 1]) {
      const disk = await written();
      await flipIn(disk, base);
      const { node, log } = await opened(disk);
      if (log.lossy === undefined) await readAt(log, from);
      expect(log.lossy?.intactEnd).toBe(base);
      log.truncate(at(log.lossy?.intactEnd ?? end));
      for (let next: number = log.endOffset; next < end; next += 2) await append(log, next);
      log.healed();
      await node.close();
      const again = await opened(disk);
      expect([again.log.lossy, again.log.endOffset]).toEqual([undefined, end]);
      const whole = Array.from({ length: end / 2 }, (_, number) => batch(number * 2));
      expect(Buffer.compare(await contents(again.log), concat(whole))).toBe(0);
      await again.node.close();
    }
  },
);

test('what comes right before the damage is damaged too: nobody is told that it is intact', async () => {
  for (let base = 4; base < end - 4; base += 2) {
    const disk = await written();
    for (const damaged of [base - 2, base]) await flipIn(disk, damaged);
    const { node, log } = await opened(disk);
    if (log.lossy === undefined) await readAt(log, base);
    expect([base, log.lossy?.intactEnd]).toEqual([base, base - 2]);
    await node.close();
  }
});

test('a file that is gone is told at the end of a batch', async () => {
  for (const file of [1, 2, 3]) {
    const disk = await written();
    await disk.remove(`/node/${journalName(file)}`);
    const { node, log } = await opened(disk);
    expect((log.lossy?.intactEnd ?? 1) % 2).toBe(0);
    expect(log.lossy?.intactEnd).toBe(log.endOffset);
    await node.close();
  }
});

/** Met by a reader, and by recovery, which finds it in the last file. */
const places = [
  { found: 'while it is open', base: 12 },
  { found: 'by recovery', base: 20 },
];

/** The damage is told, and the log cut there. */
async function cutAtDamage(base: number): Promise<{ disk: MemoryDisk; node: TestNode; log: LogStore }> {
  const disk = await written(base === 12 ? 'closed' : 'killed');
  await flipIn(disk, base);
  const { node, log } = await opened(disk);
  expect(log.lossy === undefined).toBe(base === 12);
  if (log.lossy === undefined) await readAt(log, base);
  expect(log.lossy?.intactEnd).toBe(base);
  log.truncate(at(base));
  await group(node);
  return { disk, node, log };
}

/** What the next starts say, where the loss was written down; a live one is found again. */
async function expectToldAgain(disk: MemoryDisk, base: number, intactEnd: number): Promise<void> {
  for (let round = 0; round < 2; round += 1) {
    const { node, log } = await opened(disk);
    expect(log.lossy?.intactEnd).toBe(base === 12 ? undefined : intactEnd);
    await node.close();
  }
}

test.each(places)(
  'damage found $found: a cut below it and other batches there move the report along',
  async ({ base }) => {
    const { disk, node, log } = await cutAtDamage(base);
    // The leader of the next epoch has something else: the log parts where the last common batch ends.
    log.truncate(at(base - 2));
    expect(log.lossy?.intactEnd).toBe(base - 2);
    for (let next = base - 2; next < base + 7; next += 3) await append(log, next, 3);
    expect(log.lossy?.intactEnd).toBe(base - 2);
    await node.close();
    await expectToldAgain(disk, base, base - 2);
  },
);

test.each(places)(
  'damage found $found: a log that goes on behind it is intact up to where it starts',
  async ({ base }) => {
    const { disk, node, log } = await cutAtDamage(base);
    log.restartAt(at(41));
    log.append(batch(40), testSpan(40, 42));
    await append(log, 42);
    expect(log.lossy?.intactEnd).toBe(41);
    log.restartAt(at(43));
    await group(node);
    expect([log.startOffset, log.lossy?.intactEnd]).toEqual([43, 43]);
    await node.close();
    await expectToldAgain(disk, base, 43);
  },
);
