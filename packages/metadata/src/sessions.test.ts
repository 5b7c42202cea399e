import { brokerEpoch, clusterId, directoryId, logIndex, nodeId } from '@sluice/base';
import type { LogIndex } from '@sluice/base';
import { describe, expect, test } from 'vitest';
import { decide } from './decide.ts';
import { MetadataImage } from './image.ts';
import type { MetadataRequest } from './requests.ts';
import { SessionBook } from './sessions.ts';

const options = { sessionTimeoutMs: 1500, judgeIntervalMs: 100, diskStallMs: 2000 };
const quiet = { oldestUnsyncedMs: 0, metadataIndex: logIndex(9), wallMs: 0 };

/** Nodes 1 and 2 up with broker epochs 2 and 4, node 3 registered and fenced with 6. */
function threeNodes(): MetadataImage {
  const image = new MetadataImage();
  let index: LogIndex = logIndex(0);
  const ask = (request: MetadataRequest): void => {
    index = logIndex(index + 1);
    image.replayEntry(index, decide(image, request).records);
  };
  ask({ type: 'initialize', clusterId: clusterId('1'.repeat(32)), level: 1 });
  for (const id of [1, 2, 3]) {
    ask({
      type: 'registerNode',
      nodeId: nodeId(id),
      directoryId: directoryId(String(id).repeat(32)),
      incarnation: String(id).repeat(32),
      softwareVersion: '0',
      rack: null,
      clientListeners: [{ name: 'client', protocol: 'grpc', address: 'n:1' }],
      peerAddress: 'n:2',
      adminAddress: 'n:3',
      lastBrokerEpoch: null,
      lossy: false,
      unclean: false,
      sessionLive: false,
    });
    if (id < 3) {
      ask({ type: 'unfenceNode', nodeId: nodeId(id), brokerEpoch: brokerEpoch(id * 2), metadataIndex: index });
    }
  }
  return image;
}

const one = { nodeId: nodeId(1), brokerEpoch: brokerEpoch(2) };
const two = { nodeId: nodeId(2), brokerEpoch: brokerEpoch(4) };
const three = { nodeId: nodeId(3), brokerEpoch: brokerEpoch(6) };

/** Calls the judge on time up to and including `untilMs`, and returns its last verdict. */
function judgeUntil(book: SessionBook, fromMs: number, untilMs: number): readonly unknown[] {
  let verdict: readonly unknown[] = [];
  for (let nowMs = fromMs; nowMs <= untilMs; nowMs += options.judgeIntervalMs) verdict = book.judge(nowMs);
  return verdict;
}

describe('sessions', () => {
  test('a new leader gives everybody who is not fenced a whole timeout, then all are lost together', () => {
    const book = new SessionBook(threeNodes(), 1000, options);
    expect(judgeUntil(book, 1100, 2500)).toEqual([]);
    expect(book.judge(2600)).toEqual([one, two]);
    expect(book.session(nodeId(3))).toBeUndefined();
  });

  test('a heartbeat keeps a session, silence ends it', () => {
    const book = new SessionBook(threeNodes(), 0, options);
    book.touch(one, 1400, quiet);
    expect(judgeUntil(book, 100, 1600)).toEqual([two]);
    expect(judgeUntil(book, 1700, 3000)).toEqual([one, two]);
    book.forget(two);
    expect(book.judge(3100)).toEqual([one]);
  });

  test('B1: what an older epoch says is ignored, a newer one replaces it', () => {
    const book = new SessionBook(threeNodes(), 0, options);
    const again = { ...one, brokerEpoch: brokerEpoch(20) };
    book.touch(again, 10, quiet);
    book.touch(one, 1000, { oldestUnsyncedMs: 7, metadataIndex: logIndex(1), wallMs: 0 });
    expect(book.session(nodeId(1))).toMatchObject({ brokerEpoch: 20, lastSeenMs: 10, oldestUnsyncedMs: 0 });
    book.streamClosed(one, 'refused');
    book.forget(one);
    expect(book.isLive(again, 20)).toBe(true);
    expect(book.isLive(one, 20)).toBe(false);
  });

  test('B2: the judge forgives the time that it was away itself', () => {
    const book = new SessionBook(threeNodes(), 0, options);
    expect(book.judge(100)).toEqual([]);
    // Away for five seconds: nobody is lost, the heartbeats may lie unread.
    expect(book.judge(5100)).toEqual([]);
    book.touch(one, 5101, quiet);
    // What is silent from now on is lost after what was left of its timeout.
    expect(judgeUntil(book, 5200, 6400)).toEqual([]);
    expect(judgeUntil(book, 6500, 6600)).toEqual([two]);
  });

  test('B3: a refused or unanswered connection is a crash at once, an open port is not', () => {
    const book = new SessionBook(threeNodes(), 0, options);
    book.streamClosed(one, 'open');
    expect(book.judge(100)).toEqual([]);
    book.streamClosed(one, 'refused');
    book.streamClosed(two, 'unanswered');
    expect(book.isLive(one, 100)).toBe(false);
    // Also when the judge was away: a closed stream is no silence.
    expect(book.judge(5000)).toEqual([one, two]);
    book.touch(one, 5001, quiet);
    expect(book.judge(5100)).toEqual([two]);
  });

  test('B4: clocks agree when all sessions told theirs, an hour apart at most', () => {
    const hourMs = 3_600_000;
    const book = new SessionBook(threeNodes(), 0, options);
    const told = (nowMs: number, node: typeof one, aheadMs: number): boolean => {
      book.touch(node, nowMs, { ...quiet, wallMs: 1_700_000_000_000 + nowMs + aheadMs });
      return book.clocksAgree;
    };
    expect(told(10, one, 0)).toBe(false);
    expect(told(20, two, hourMs)).toBe(true);
    // Also one that is not let in yet counts, and the odd one may be any of them.
    expect(told(30, three, -1)).toBe(false);
    expect(told(40, three, 1)).toBe(true);
    expect(told(50, one, 365 * 24 * hourMs)).toBe(false);
    expect(told(60, two, 365 * 24 * hourMs)).toBe(false);
    expect(told(70, three, 365 * 24 * hourMs)).toBe(true);
    expect(told(80, three, 0)).toBe(false);
    book.forget(three);
    expect(book.clocksAgree).toBe(true);
  });

  test('B5: the session of the leader before goes on from where it was heard last', () => {
    const book = new SessionBook(threeNodes(), 2000, options, { nodeId: nodeId(1), atMs: 700 });
    expect(judgeUntil(book, 2100, 2200)).toEqual([]);
    expect(book.judge(2300)).toEqual([one]);
    const heard = new SessionBook(threeNodes(), 2000, options, { nodeId: nodeId(1), atMs: 700 });
    heard.touch(one, 2050, quiet);
    expect(judgeUntil(heard, 2100, 3500)).toEqual([]);
  });

  test('B6: a disk hangs from a write older than the limit on, until the oldest is at most half as old', () => {
    const image = threeNodes();
    const book = new SessionBook(image, 0, options);
    const told = (node: typeof one, oldestUnsyncedMs: number): boolean | undefined => {
      book.touch(node, 10, { ...quiet, oldestUnsyncedMs });
      return book.session(node.nodeId)?.stalled;
    };
    const ages = [0, 2000, 2001, 1999, 1001, 1000, 2000, 2001];
    expect(ages.map((ms) => told(one, ms))).toEqual([false, false, true, true, true, false, false, true]);
    // Another life is judged anew.
    expect(told({ ...one, brokerEpoch: brokerEpoch(20) }, 1500)).toBe(false);
    // A new leader goes on from what was decided.
    image.replayEntry(logIndex(50), [{ type: 'nodeStalled', version: 1, nodeId: nodeId(2), stalled: true }]);
    const next = new SessionBook(image, 0, options);
    expect(next.session(nodeId(2))?.stalled).toBe(true);
    next.touch(two, 10, { ...quiet, oldestUnsyncedMs: 1500 });
    expect(next.session(nodeId(2))?.stalled).toBe(true);
  });

  test('a fenced node has a session from its first heartbeat, with what it said', () => {
    const book = new SessionBook(threeNodes(), 0, options);
    expect(book.isLive(three, 0)).toBe(false);
    book.touch(three, 50, { oldestUnsyncedMs: 2500, metadataIndex: logIndex(8), wallMs: 0 });
    expect(book.isLive(three, 60)).toBe(true);
    expect(book.session(nodeId(3))).toMatchObject({ metadataIndex: 8 });
  });
});
