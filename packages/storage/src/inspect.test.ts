/** What an offline look says of a directory, whole and damaged; it changes nothing. */
import { expect, test } from 'vitest';
import { inspectDirectory } from './inspect.ts';
import { journalFileId } from './journal-file.ts';
import { MemoryDisk } from './memory-disk.ts';
import { rotPath, writeDirectory } from './rot.testing.ts';
import { testLogId } from './test-node-log.ts';

const changing = [
  'write',
  'writeDurable',
  'truncate',
  'sync',
  'rename',
  'remove',
  'syncDirectory',
  'makeDirectory',
  'lock',
] as const;

async function prepared() {
  const disk = new MemoryDisk();
  const truth = await writeDirectory(disk);
  const changes = (): number => changing.reduce((sum, kind) => sum + disk.operations(kind), 0);
  const [before, files] = [changes(), await disk.list(rotPath)];
  const unchanged = async (): Promise<void> => {
    expect([changes(), await disk.list(rotPath)]).toEqual([before, files]);
  };
  return { disk, truth, unchanged, journals: files.filter((name) => journalFileId(name) !== undefined) };
}

test('a whole directory: its files, logs, runs, batches and epochs', async () => {
  const { disk, truth, unchanged, journals } = await prepared();
  const { topicId, partition } = testLogId(1);
  const found = await inspectDirectory(disk, rotPath, { log: `${topicId}/${partition}`, batches: true });
  expect([found.damaged, found.findings]).toEqual([false, []]);
  expect(found.files.filter(({ kind }) => kind === 'journal').map(({ name }) => name)).toEqual(journals);
  expect(found.files.filter(({ finished }) => !finished).map(({ name }) => name)).toEqual(journals.slice(-1));
  expect(found.files.every(({ live, damaged }) => live && !damaged)).toBe(true);
  expect(found.logs.map(({ start, end, lossy }) => ({ start, end, lossy }))).toEqual(
    [...truth.logs.values()].map(({ start, end }) => ({ start, end, lossy: null })),
  );
  const log = found.logs.find((each) => each.topicId === topicId);
  expect(log?.runs?.flatMap(({ batches = [] }) => batches.map(({ base }) => base))).toEqual([
    ...(truth.logs.get(1)?.batches.keys() ?? []),
  ]);
  expect(log?.epochs).toEqual([{ epoch: 0, start: truth.logs.get(1)?.start }]);
  const [start] = found.files.filter(({ kind }) => kind === 'raft-snapshot');
  expect(found.raft).toEqual({
    term: 0,
    votedFor: null,
    snapshot: { index: 16, term: 1, file: start?.name, metaBytes: 3, bytes: 5000 },
    entries: truth.raftEntries - 13,
    firstIndex: 14,
    lastIndex: truth.raftEntries,
    doubtful: false,
  });
  await unchanged();
});

test('a damaged one is not refused: what is damaged is said, and nothing is cut, removed or written', async () => {
  const { disk, unchanged, journals } = await prepared();
  disk.flipBit(`${rotPath}/${journals.at(-1) ?? ''}`, 4096 + 10);
  const torn = await inspectDirectory(disk, rotPath);
  expect([torn.damaged, torn.findings.length > 0]).toEqual([true, true]);
  expect(torn.logs.some(({ lossy }) => lossy !== null)).toBe(true);
  disk.flipBit(`${rotPath}/manifest`, 70);
  const lost = await inspectDirectory(disk, rotPath);
  expect(lost.findings.at(-1)?.phrase).toContain('manifest is damaged');
  expect(lost.files.filter(({ kind }) => kind === 'journal').map(({ name }) => name)).toEqual(journals);
  await unchanged();
});

test('a damaged Raft snapshot is said, and stays', async () => {
  const { disk, unchanged } = await prepared();
  const name = (await disk.list(rotPath)).find((each) => each.startsWith('raft-snapshot-')) ?? '';
  disk.flipBit(`${rotPath}/${name}`, 3000);
  const found = await inspectDirectory(disk, rotPath);
  expect(found.files.filter(({ damaged }) => damaged)).toMatchObject([{ name, kind: 'raft-snapshot', live: true }]);
  expect(found.raft).toMatchObject({ snapshot: null, entries: 0, firstIndex: null, doubtful: true });
  expect(found.findings).toMatchObject([{ phrase: 'Raft snapshot damaged', fields: { file: `${rotPath}/${name}` } }]);
  await unchanged();
});

test('a torn last group is said, and stays', async () => {
  const { disk, unchanged, journals } = await prepared();
  const last = `${rotPath}/${journals.at(-1) ?? ''}`;
  disk.flipBit(last, disk.durableBytes(last).length - 4096 + 10);
  const found = await inspectDirectory(disk, rotPath);
  expect([found.damaged, found.findings.map(({ phrase }) => phrase)]).toEqual([
    false,
    ['torn group cut from the journal'],
  ]);
  await unchanged();
});

test('only a missing directory is refused', async () => {
  await expect(inspectDirectory(new MemoryDisk(), '/nowhere')).rejects.toMatchObject({ code: 'INVALID_CONFIG' });
});
