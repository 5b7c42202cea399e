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
    edits: [{ file: inStorage('raft-index.ts'), find: '        this.#cut(row.from);\n', replace: '' }],
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
];
