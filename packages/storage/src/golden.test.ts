/**
 * Golden files: what was written to a disk by the version of the format that is current must stay readable, and must not
 * change under the same version. After a change of the format raise `frameVersion` and run `npm run -s golden`.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { frameVersion } from './frame.ts';
import { readGolden, writeGolden } from './golden.testing.ts';
import { MemoryDisk } from './memory-disk.ts';

const directory = new URL(`../golden/v${frameVersion}/`, import.meta.url);
const names = readdirSync(directory).filter((name) => name !== 'contents.json');
const golden = (name: string): Uint8Array => readFileSync(new URL(name, directory));

test('the golden files have a checkpoint, finished journal files, an open one, a Raft snapshot, a manifest and an identity', () => {
  const kinds = names.map((name) => name.replace(/-\d+/, ''));
  expect(kinds.filter((name) => name === 'journal.log').length).toBeGreaterThan(1);
  expect(kinds).toEqual(expect.arrayContaining(['checkpoint.log', 'identity', 'manifest', 'raft-snapshot']));
});

test('golden files are read as they were written', async () => {
  const disk = new MemoryDisk();
  await disk.makeDirectory('/node');
  for (const name of names) disk.plant(`/node/${name}`, golden(name));
  expect(await readGolden(disk)).toEqual(JSON.parse(readFileSync(new URL('contents.json', directory), 'utf8')));
});

test('the same workload is written as the same bytes: another format has another version', async () => {
  const disk = new MemoryDisk();
  await writeGolden(disk);
  expect(await disk.list('/node')).toEqual(names.toSorted());
  for (const name of names) {
    expect([name, Buffer.compare(disk.durableBytes(`/node/${name}`), golden(name))]).toEqual([name, 0]);
  }
});
