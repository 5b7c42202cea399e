import { memberId } from '@sluice/raft';
import { expect, test } from 'vitest';
import { FormerLeader } from './former-leader.ts';

const [one, two, three] = [1, 2, 3].map((id) => memberId(`${id}@${String(id).repeat(32)}`));

test('who led is remembered with when it was heard last, be it after it led; others are not', () => {
  const former = new FormerLeader();
  if (one === undefined || two === undefined || three === undefined) throw new Error('no members');
  former.onMessage(one, one, 100);
  former.onMessage(two, one, 200);
  former.onMessage(one, undefined, 300);
  former.onMessage(three, undefined, 400);
  expect(former.take()).toEqual({ member: one, atMs: 300 });
  expect(former.take()).toBeUndefined();
  former.onMessage(one, one, 500);
  former.onMessage(two, two, 600);
  former.onMessage(one, two, 700);
  expect(former.take()).toEqual({ member: two, atMs: 600 });
});

test('what this process was late is taken off the silence', () => {
  const former = new FormerLeader();
  former.onDelay(50, 50);
  if (one === undefined) throw new Error('no members');
  former.onMessage(one, one, 100);
  former.onDelay(3000, 4000);
  expect(former.take()).toEqual({ member: one, atMs: 3100 });
  former.onMessage(one, one, 5000);
  former.onDelay(3000, 5100);
  expect(former.take()).toEqual({ member: one, atMs: 5100 });
});
