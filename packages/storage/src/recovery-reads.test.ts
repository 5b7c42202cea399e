/** What a start reads: of finished files their headers and footers alone, also when their logs are loaded by snapshot. */
import type { Disk } from '@sluice/base';
import { expect, test } from 'vitest';
import { journalHeaderBytes } from './journal-file.ts';
import { MemoryDisk } from './memory-disk.ts';
import type { NodeLog } from './node-log.ts';
import { testBatch, testSpan } from './test-batches.ts';
import { openTestNode, testLogId } from './test-node-log.ts';

const limits = { journalBytesMax: 64 * 1024, tailBytesMax: 0, spaceAheadBytes: 0 };
const logs = Array.from({ length: 20 }, (_, number) => testLogId(number));

interface Read {
  readonly path: string;
  readonly position: number;
  readonly bytes: number;
}

/** Notes what is read of files. */
function readsOf(disk: Disk, reads: Read[]): Disk {
  return new Proxy(disk, {
    get: (target, name) => {
      const value: unknown = Reflect.get(target, name);
      if (name !== 'open') return typeof value === 'function' ? (value.bind(target) as unknown) : value;
      return async (path: string, mode: 'existing') => {
        const file = await target.open(path, mode);
        return new Proxy(file, {
          get: (opened, method) => {
            const own: unknown = Reflect.get(opened, method);
            if (method !== 'read') return typeof own === 'function' ? (own.bind(opened) as unknown) : own;
            return (into: Uint8Array, position: number) => {
              reads.push({ path, position, bytes: into.length });
              return opened.read(into, position);
            };
          },
        });
      };
    },
  });
}

async function fill(node: NodeLog): Promise<void> {
  for (const id of logs) {
    const log = node.log(id);
    log.snapshot = () => ({ offset: log.endOffset, bytes: new Uint8Array(300) });
  }
  for (let round = 0; round < 30; round += 1) {
    for (const id of logs) {
      const log = node.log(id);
      const base = log.endOffset;
      log.append(testBatch({ base, valueBytes: 400 }), testSpan(base, base + 1));
    }
    await new Promise<void>((resolve) => node.raft.persist({}, resolve));
  }
}

test('after a kill only the last file is scanned, and of the others no batch is read, also by who goes on from snapshots', async () => {
  const disk = new MemoryDisk();
  await fill((await openTestNode({ disk, limits })).log);
  disk.killProcess();
  const reads: Read[] = [];
  const node = await openTestNode({ disk: readsOf(disk, reads), limits });
  const journals = (await disk.list('/node')).filter((name) => name.startsWith('journal-')).toSorted();
  expect(journals.length).toBeGreaterThan(4);
  const last = `/node/${journals.at(-1)}`;
  const scanned = reads.filter(({ path, bytes }) => path === last && bytes > journalHeaderBytes);
  expect(scanned.length).toBeGreaterThan(0);
  for (const id of logs) {
    const log = node.log.log(id);
    const snapshot = await log.loadSnapshot();
    expect(snapshot).toBeDefined();
    for await (const header of log.headers(snapshot?.offset ?? log.startOffset)) expect(header.magic).toBe(2);
  }
  for (const name of journals.slice(0, -1)) {
    const path = `/node/${name}`;
    const footerAt = await footerOf(disk, path);
    const batches = reads.filter((read) => {
      const isHeader = read.position + read.bytes <= journalHeaderBytes;
      return read.path === path && !isHeader && read.position < footerAt;
    });
    expect(batches).toEqual([]);
    expect(reads.some((read) => read.path === path && read.position >= footerAt)).toBe(true);
  }
  await node.close();
});

/** Where the last frame of a finished file begins. */
async function footerOf(disk: Disk, path: string): Promise<number> {
  const file = await disk.open(path, 'existing');
  const bytes = new Uint8Array(await file.size());
  await file.read(bytes, 0);
  await file.close();
  let footerAt = 0;
  for (let at = journalHeaderBytes; at < bytes.length; at += 4096) {
    // A frame begins with its magic; its kind says that it is a footer.
    const view = new DataView(bytes.buffer, at, 8);
    if (view.getUint32(0) === 0x534c4652 && view.getUint16(6) === 1) footerAt = at;
  }
  return footerAt;
}
