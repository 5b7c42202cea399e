/** What one connection of a storm says: once, then again and again. */
import { Acks, methods } from '@sluice/wire';
import {
  call,
  callBlock,
  flag,
  frame,
  hello,
  laneSetting,
  literal,
  message,
  reset,
  settings,
  uint32,
} from './hostile-frames.ts';
import type { Lane } from './hostile-frames.ts';
import { HostileSocket } from './hostile-socket.ts';

export interface Storm {
  /** After the hello. */
  readonly first?: Uint8Array;
  readonly again?: Uint8Array;
}

const { path } = methods.broker.produce;
const nothing = Buffer.alloc(0);
const ping = frame('ping', Buffer.alloc(8));
const opening = Buffer.concat(
  methods.broker.produce.request.encode({ open: { clientId: 'storm', acks: Acks.all }, batches: [] } as never),
);
const endBoth = flag.endStream | flag.endHeaders;

const times = (count: number, make: (at: number) => Uint8Array): Buffer =>
  Buffer.concat(Array.from({ length: count }, (_, at) => make(at)));
/** So many calls on one connection, each with what comes behind its headers. */
const calls = (count: number, behind: (stream: number) => Uint8Array): Buffer =>
  times(count, (at) => Buffer.concat([call(path, at * 2 + 1), behind(at * 2 + 1)]));
const opened = Buffer.concat([call(path, 1), message(opening, 1)]);
const unfinished = frame('headers', callBlock(path), { stream: 1 });
const large = literal('x', 'y'.repeat(16_000));
const unknownFrame = frame('ping', Buffer.alloc(100));
unknownFrame[3] = 0xfa;

export const storms: Readonly<Record<string, Storm>> = {
  'calls that are reset': { first: calls(5_000, reset) },
  'calls that open a stream and are reset': {
    first: calls(1_000, (stream) => Buffer.concat([message(opening, stream), reset(stream)])),
  },
  'calls of no method that are reset': {
    first: times(2_000, (at) => Buffer.concat([call(`/none/${at}`, at * 2 + 1), reset(at * 2 + 1)])),
  },
  'calls of no method': { first: times(2_000, (at) => call(`/none/${at}`, at * 2 + 1)) },
  farewells: { first: call(path, 1), again: times(1_000, () => frame('goaway', Buffer.alloc(8))) },
  pings: { first: call(path, 1), again: times(1_000, () => ping) },
  'settings behind a call': { first: opened, again: times(1_000, () => settings([4, 100_000])) },
  'windows of 0 and of the most': {
    first: opened,
    again: times(500, () => Buffer.concat([settings([4, 0]), settings([4, 0x7fff_ffff])])),
  },
  'acks of settings that nobody made': { again: times(1_000, () => frame('settings', nothing, { flags: flag.ack })) },
  'the lane announced again, and otherwise': { first: settings([laneSetting, 1]), again: settings([laneSetting, 7]) },
  'header tables of 0 and of the most': {
    again: times(500, () => Buffer.concat([settings([1, 0]), settings([1, 0xffff_ffff])])),
  },
  'windows that overflow': {
    first: call(path, 1),
    again: times(2, (stream) => frame('windowUpdate', uint32(0x7fff_ffff), { stream })),
  },
  'windows that grow by a byte': { first: call(path, 1), again: times(1_000, () => frame('windowUpdate', uint32(1))) },
  priorities: { again: times(1_000, (at) => frame('priority', Buffer.alloc(5, 1), { stream: at * 2 + 1 })) },
  continuations: { first: unfinished, again: frame('continuation', large, { stream: 1 }) },
  'empty continuations': {
    first: unfinished,
    again: times(1_000, () => frame('continuation', nothing, { stream: 1 })),
  },
  'a megabyte of headers': {
    first: Buffer.concat([unfinished, times(64, () => frame('continuation', large, { stream: 1 }))]),
    again: frame('continuation', nothing, { stream: 1, flags: flag.endHeaders }),
  },
  'hundreds of headers': {
    first: times(100, (at) =>
      frame(
        'headers',
        callBlock(
          path,
          times(300, () => literal('a', 'b')),
        ),
        { stream: at * 2 + 1, flags: endBoth },
      ),
    ),
  },
  'empty data': { first: call(path, 1), again: times(1_000, () => frame('data', nothing, { stream: 1 })) },
  'trailers from the client': {
    first: calls(200, (stream) => frame('headers', literal('x', 'y'), { stream, flags: endBoth })),
  },
  'the same headers again': { first: call(path, 1), again: times(100, () => call(path, 1)) },
  'empty messages': { first: opened, again: times(50, () => message(nothing, 1)) },
  openings: { first: call(path, 1), again: times(50, () => message(opening, 1)) },
  'frames that nobody knows': { first: call(path, 1), again: times(100, () => unknownFrame) },
};

/** From both lanes at once, on connections that are replaced when the node ends them. */
export async function rage(address: string, lanes: readonly Lane[], storm: Storm, forMs: number): Promise<void> {
  const endMs = performance.now() + forMs;
  const one = async (lane: Lane): Promise<void> => {
    while (performance.now() < endMs) {
      using socket = await new HostileSocket(address).connected();
      // In one write: the node may read it all at once.
      socket.send(Buffer.concat([hello(lane), storm.first ?? nothing]));
      await socket.flood(storm.again ?? ping, { forMs: endMs - performance.now() });
    }
  };
  await Promise.all([...lanes, ...lanes].map(one));
}
