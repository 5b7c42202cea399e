/** Damage at rest, in every part of every file, and writes that went astray: told or refused, never taken for records. */
import { SeededRandom } from '@sluice/base';
import { expect, test } from 'vitest';
import { checkpointFileId } from './checkpoint-name.ts';
import type { DiskFault } from './disk-faults.ts';
import { frameBytes, FrameKind, frameHeaderBytes, readFrameHeader } from './frame.ts';
import { journalFileId, journalHeaderBytes, journalName } from './journal-file.ts';
import { MemoryDisk } from './memory-disk.ts';
import { type Reading, readDirectory, rotPath, writeDirectory } from './rot.testing.ts';

interface Region {
  readonly name: string;
  /** What part of what kind of file. */
  readonly part: string;
  readonly from: number;
  readonly to: number;
}

async function filesOf(disk: MemoryDisk): Promise<Map<string, Uint8Array>> {
  const files = new Map<string, Uint8Array>();
  for (const name of await disk.list(rotPath)) files.set(name, disk.durableBytes(`${rotPath}/${name}`));
  return files;
}

async function copyOf(files: ReadonlyMap<string, Uint8Array>): Promise<MemoryDisk> {
  const disk = new MemoryDisk();
  await disk.makeDirectory(rotPath);
  for (const [name, bytes] of files) disk.plant(`${rotPath}/${name}`, bytes);
  return disk;
}

function hasFooter(bytes: Uint8Array, fileId: number): boolean {
  for (let position = journalHeaderBytes; position < bytes.length; position += 4096) {
    const found = readFrameHeader(bytes.subarray(position), { fileId, position });
    if (found?.header.kind === FrameKind.footer) return true;
  }
  return false;
}

function regionsOf(name: string, bytes: Uint8Array): Region[] {
  const fileId = journalFileId(name) ?? checkpointFileId(name);
  if (fileId === undefined) return [{ name, part: name.replace(/-\d+$/, ''), from: 0, to: bytes.length }];
  const isFinished = bytes.length > journalHeaderBytes && hasFooter(bytes, fileId);
  const kind = journalFileId(name) === undefined ? 'checkpoint' : isFinished ? 'finished' : 'open';
  const regions: Region[] = [];
  const add = (what: string, from: number, to: number): void => {
    if (to > from) regions.push({ name, part: `${kind} ${what}`, from, to });
  };
  add('header', 0, journalHeaderBytes);
  for (let position = journalHeaderBytes; position < bytes.length; ) {
    const header = readFrameHeader(bytes.subarray(position), { fileId, position })?.header;
    // Of a checkpoint: Raft entries lie between its header and its footer.
    if (header === undefined) {
      add('entries', position, position + 4096);
      position += 4096;
      continue;
    }
    const what = header.kind === FrameKind.footer ? 'footer' : 'group';
    const table = position + frameHeaderBytes;
    add(`${what} header`, position, table);
    add(`${what} table`, table, table + header.tableBytes);
    add(`${what} payload`, table + header.tableBytes, table + header.tableBytes + header.payloadBytes);
    position += frameBytes(header);
  }
  return regions;
}

function existing(disk: MemoryDisk, path: string): boolean {
  try {
    disk.durableBytes(path);
    return true;
  } catch {
    return false;
  }
}

const wrongOf = (reading: Reading): string => (typeof reading === 'string' ? '' : reading.wrong);

const outcome = (reading: Reading): string => (typeof reading === 'string' ? reading : 'wrong');

test('the directory has everything that there can be in one, and is read as it was written', async () => {
  const disk = new MemoryDisk();
  const truth = await writeDirectory(disk);
  const names = [...(await filesOf(disk)).keys()].map((name) => name.replace(/\d+/, ''));
  expect(names.filter((name) => name === 'journal-.log').length).toBeGreaterThan(1);
  expect(names).toEqual(expect.arrayContaining(['checkpoint-.log', 'identity', 'manifest', 'raft-snapshot-']));
  expect(await readDirectory(disk, truth)).toBe('same');
});

test('a flipped bit anywhere is told or refused where it matters, and nothing else is read for what was written', async () => {
  const disk = new MemoryDisk();
  const truth = await writeDirectory(disk);
  const files = await filesOf(disk);
  const random = new SeededRandom(3);
  const outcomes = new Map<string, Set<string>>();
  for (const region of [...files].flatMap(([name, bytes]) => regionsOf(name, bytes))) {
    const { name, part, from, to } = region;
    const places = [from, to - 1, ...Array.from({ length: 6 }, () => from + random.below(to - from))];
    for (const position of places) {
      const copy = await copyOf(files);
      copy.flipBit(`${rotPath}/${name}`, position, random.below(8));
      const reading = await readDirectory(copy, truth);
      expect([region, position, wrongOf(reading)]).toEqual([region, position, '']);
      outcomes.set(part, (outcomes.get(part) ?? new Set()).add(outcome(reading)));
    }
  }
  const seen = Object.fromEntries([...outcomes].map(([part, found]) => [part, [...found].toSorted().join(' ')]));
  expect(seen).toEqual({
    identity: 'refused',
    manifest: 'refused',
    'raft-snapshot': 'told',
    // Repeated by the footer.
    'checkpoint header': 'same',
    'checkpoint entries': 'same told',
    'checkpoint footer header': 'told',
    'checkpoint footer table': 'told',
    'checkpoint footer payload': 'told',
    // One stands for the other: the footer for headers and tables, they for it. Payloads may be of what was cut since.
    'finished header': 'same',
    'finished group header': 'same',
    'finished group table': 'same',
    'finished group payload': 'same told',
    'finished footer header': 'same',
    'finished footer table': 'same',
    'finished footer payload': 'same told',
    // The last group is empty, and torn when it is damaged.
    'open header': 'same',
    'open group header': 'same told',
    'open group table': 'told',
    'open group payload': 'told',
  });
}, 60_000);

type MakeFault = (bytes: number, random: SeededRandom) => DiskFault;

const strays: Readonly<Record<string, MakeFault>> = {
  'that never reach the disk': () => 'lost',
  'with a bit flipped': (bytes, random) => ({ flipBit: random.below(Math.max(1, bytes * 8)) }),
  'that land at another frame of the file': (_, random) => ({ misdirect: { position: 4096 * random.below(6) } }),
  'that land anywhere in the file': (_, random) => ({ misdirect: { position: random.below(20_000) } }),
  'that land in the first journal file': (_, random) => ({
    misdirect: { path: `${rotPath}/${journalName(1)}`, position: 4096 * random.below(6) },
  }),
  'that land on the manifest': () => ({ misdirect: { path: `${rotPath}/manifest`, position: 0 } }),
};

test.each(Object.entries(strays))(
  'writes %s are told or refused, and nothing is read for what was written',
  async (_, stray) => {
    const outcomes = new Set<string>();
    for (let at = 0, writes = 1; at < writes; at += 1) {
      const random = new SeededRandom(at);
      let seen = 0;
      const disk: MemoryDisk = new MemoryDisk({
        faults: ({ kind, bytes, path }) => {
          if (kind !== 'write' && kind !== 'writeDurable') return 'run';
          seen += 1;
          if (seen !== at + 1) return 'run';
          const fault = stray(bytes, random);
          const target = typeof fault === 'object' && 'misdirect' in fault ? fault.misdirect.path : undefined;
          // A write cannot go to what is not there.
          return target !== undefined && (target === path || !existing(disk, target)) ? 'run' : fault;
        },
      });
      const truth = await writeDirectory(disk);
      const reading = await readDirectory(disk, truth);
      const wrong = wrongOf(reading);
      // What was not done yet when it stopped is missing without a word; and behind the last write nothing proves what it hit.
      const mayMiss = !truth.isWhole || at === seen - 1;
      const isMissed = mayMiss && wrong.endsWith('nothing says so');
      expect([at, isMissed ? '' : wrong]).toEqual([at, '']);
      outcomes.add(outcome(reading));
      writes = seen;
    }
    expect(outcomes).toContain('told');
  },
  60_000,
);
