/** Every canary still fits the source that it is planted in, and has a name of its own. */
import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { canaries } from './canaries.ts';
import { edited } from './canary.ts';
import { metadataCanaries } from './metadata-canaries.ts';
import { partitionCanaries } from './partition-canaries.ts';
import { raftCanaries } from './raft-canaries.ts';
import { storageCanaries } from './storage-canaries.ts';
import { unfoundCanaries } from './unfound.ts';

const root = new URL('../../../../', import.meta.url);

const lists = [raftCanaries, storageCanaries, metadataCanaries, partitionCanaries];

describe('canaries', () => {
  test.each([...canaries.values()])('$name', (canary) => {
    let source = '';
    let last = '';
    for (const edit of canary.edits) {
      if (edit.file !== last) source = readFileSync(new URL(edit.file, root), 'utf8');
      last = edit.file;
      source = edited(source, canary, edit);
    }
    expect(canary.edits.length).toBeGreaterThan(0);
  });

  test('names are unique', () => {
    expect(canaries.size).toBe(lists.reduce((sum, { length }) => sum + length, 0));
  });

  test('those that are not found yet are canaries', () => {
    expect([...unfoundCanaries].filter((name) => !canaries.has(name))).toEqual([]);
  });
});
