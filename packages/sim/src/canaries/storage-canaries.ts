/** Bugs that others had in their storage, planted in ours. See `canary`. */
import type { Canary } from './canary.ts';

const inStorage = (file: string): string => `packages/storage/src/${file}`;

export const storageCanaries: readonly Canary[] = [
  {
    name: 'ack-before-sync',
    source: 'nats-server#7564: a group is complete when it is written, not when it is synced',
    edits: [
      {
        file: inStorage('journal.ts'),
        find: 'await file.writeDurable(encoded.buffers, position);',
        replace: 'await file.write(encoded.buffers, position);',
      },
    ],
  },
  {
    name: 'ghost-tail',
    source: 'etcd#22442 (P7): a replay forgets that entries were cut off',
    // An entry cuts what follows it as well, so that the first edit alone does no harm.
    edits: [
      { file: inStorage('raft-index.ts'), find: '        this.#cut(row.from);\n', replace: '' },
      { file: inStorage('raft-index.ts'), find: '        else this.#cut(index);\n', replace: '' },
    ],
  },
  {
    name: 'rename-not-synced',
    source: 'S4: a small file is renamed and its directory is not synced',
    edits: [
      {
        file: inStorage('checked-file.ts'),
        find: '  await disk.syncDirectory(directory.path);\n',
        replace: '',
      },
    ],
  },
  {
    name: 'failed-sync-retried',
    source: 'pitfall 25 (fsyncgate): a sync that failed is done again, and then succeeds',
    edits: [
      {
        file: inStorage('journal.ts'),
        find: 'await file.writeDurable(encoded.buffers, position);',
        replace: 'await file.writeDurable(encoded.buffers, position).catch(() => file.sync());',
      },
    ],
  },
  {
    name: 'snapshot-not-synced',
    source: 'P8: the log goes before the snapshot that replaces it is on the disk',
    edits: [
      { file: inStorage('raft-snapshot-files.ts'), find: '        await file.sync();\n', replace: '' },
      {
        file: inStorage('write-in-pieces.ts'),
        find: 'await file.writeDurable(piece, at);',
        replace: 'await file.write(piece, at);',
      },
    ],
  },
  {
    name: 'snapshot-name-not-synced',
    source: 'pitfall 26: a snapshot is written, and its directory is not synced',
    edits: [
      {
        file: inStorage('raft-snapshot-files.ts'),
        find: '      await directory.disk.syncDirectory(directory.path);\n',
        replace: '',
      },
    ],
  },
];
