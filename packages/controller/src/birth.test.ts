import { clusterId, directoryId, nodeId } from '@sluice/base';
import type { ClusterId, DirectoryId } from '@sluice/base';
import type { Birth } from '@sluice/storage';
import { expect, test } from 'vitest';
import { mayPromise, nextBirthAction, sameBirth } from './birth.ts';
import type { BirthAction, BirthView } from './birth.ts';

const hex = (digit: string): string => digit.repeat(32);
const dir = (digit: string): DirectoryId => directoryId(hex(digit));
const cluster = (digit: string): ClusterId => clusterId(hex(digit));
const configured = [1, 2, 3].map(nodeId);
const fresh = cluster('f');

const certificate = (id: string, dirs: string): Birth => ({
  clusterId: cluster(id),
  voters: Array.from(dirs, (digit, at) => ({ nodeId: nodeId(at + 1), directoryId: dir(digit) })),
});

/** `2b` is node 2 with directory b; then its certificate, `!` when it is born; `#` and the voters that it is given. */
function view(text: string): BirthView {
  const [words = '', names] = text.split('#');
  const [who = '', held] = words.split(' ');
  const born = held?.startsWith('!') === true;
  const [id, dirs] = held?.replace('!', '').split(':') ?? [];
  return {
    nodeId: nodeId(Number(who[0])),
    directoryId: dir(who[1] ?? ''),
    certificate: id === undefined ? undefined : certificate(id, dirs ?? ''),
    born,
    configured: names === undefined ? configured : Array.from(names, (name) => nodeId(Number(name))),
  };
}

const told = (action: BirthAction): string => {
  const of = (birth: Birth): string =>
    `${birth.clusterId[0]}:${birth.voters.map((voter) => voter.directoryId[0]).join('')}`;
  switch (action.kind) {
    case 'born':
    case 'join':
      return `${action.kind} ${of(action.certificate)}`;
    case 'propose':
      return `propose ${of(action.certificate)} to ${action.ask.join(',') || 'nobody'}`;
    case 'wait':
      return `wait for ${action.missing.join(',') || 'the proposer'}`;
    case 'disagree':
      return `disagree with ${action.others.join(',')}`;
    case 'promised-elsewhere':
      return `promised to ${action.voters.join(',')}`;
    case 'conflict':
      return `conflict ${action.clusterIds.map((id) => id[0]).join(',')}`;
  }
};

test.each([
  ['nobody answers', '1a', [], 'wait for 2,3'],
  ['one is missing', '1a', ['2b'], 'wait for 3'],
  ['all empty, at the lowest', '1a', ['2b', '3c'], 'propose f:abc to 2,3'],
  ['all empty, at another', '2b', ['1a', '3c'], 'wait for the proposer'],
  ['one has promised', '1a e:abc', ['2b e:abc', '3c'], 'propose e:abc to 3'],
  ['all have promised, at the lowest', '1a e:abc', ['2b e:abc', '3c e:abc'], 'born e:abc'],
  ['all have promised, at another', '3c e:abc', ['1a e:abc', '2b e:abc'], 'born e:abc'],
  ['I have not promised what the others have', '3c', ['1a e:abc', '2b e:abc'], 'wait for the proposer'],
  ['one was wiped after it promised', '1a e:abc', ['2b e:abc', '3d'], 'propose f:abd to 2,3'],
  ['another promised something else', '2b e:abc', ['1a e:abc', '3c d:abc'], 'wait for the proposer'],
  ['somebody is born, and I am a voter', '2b e:abc', ['1a !e:abc'], 'born e:abc'],
  ['somebody is born, and I was wiped', '3d', ['1a !e:abc', '2b e:abc'], 'join e:abc'],
  ['a wiped proposer meets one that is born', '1d', ['2b !e:abc', '3c e:abc'], 'join e:abc'],
  ['another is told of other voters', '1a', ['2b', '3c#124'], 'disagree with 3'],
  ['another is told of a voter less', '1a e:abc', ['2b e:abc', '3c e:abc#12'], 'disagree with 3'],
  ['another is told of them in another order', '1a', ['2b#321', '3c'], 'propose f:abc to 2,3'],
  ['another, told of other voters, is born', '1a', ['3c !e:9bc#145'], 'join e:9bc'],
  ['I have promised myself to one that is not named any more', '1a e:abcd', ['2b e:abcd', '3c'], 'promised to 1,2,3,4'],
  ['the same, and one that is named now is born', '1a e:abcd', ['2b !d:9b'], 'promised to 1,2,3,4'],
  ['I have promised myself to fewer than are named now', '1a e:ab', ['2b e:ab', '3c'], 'propose f:abc to 2,3'],
  ['born in two clusters', '3c', ['1a !e:abc', '2b !d:9bc'], 'conflict e,d'],
])('%s', (_what, self, others, expected) => {
  const me = view(self);
  const action = nextBirthAction({
    self: me,
    promise: me.certificate,
    configured,
    views: others.map(view),
    freshClusterId: fresh,
  });
  expect(told(action)).toBe(expected);
});

test('a node that is not configured as a voter never proposes', () => {
  const situation = { self: view('4d'), promise: undefined, configured, freshClusterId: fresh };
  const action = nextBirthAction({ ...situation, views: ['1a', '2b', '3c'].map(view) });
  expect(action.kind).toBe('wait');
});

test('a promise is made to the lowest voter only, about all configured voters, this directory among them', () => {
  const self = view('2b');
  const asks = (asker: number, what: Birth, promise?: Birth): boolean =>
    mayPromise({ self, promise, configured }, nodeId(asker), what);
  expect(asks(1, certificate('e', 'abc'))).toBe(true);
  expect(asks(2, certificate('e', 'abc'))).toBe(false);
  expect(asks(1, certificate('e', 'a9c'))).toBe(false);
  expect(asks(1, certificate('e', 'ab'))).toBe(false);
  expect(asks(1, certificate('e', 'abc'), certificate('d', 'ab'))).toBe(true);
  expect(asks(1, certificate('e', 'abc'), certificate('d', '9b7e'))).toBe(false);
  const [first, second] = certificate('e', 'abc').voters;
  expect(asks(1, { clusterId: cluster('e'), voters: [first!, second!, second!] })).toBe(false);
});

test('certificates are the same by cluster and voters, in any order', () => {
  const one = certificate('e', 'abc');
  expect(sameBirth(one, { ...one, voters: one.voters.toReversed() })).toBe(true);
  expect(sameBirth(one, certificate('e', 'abd'))).toBe(false);
  expect(sameBirth(one, certificate('d', 'abc'))).toBe(false);
  expect(sameBirth(undefined, undefined)).toBe(false);
});
