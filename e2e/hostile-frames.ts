/** HTTP/2 and gRPC as bytes, for what no library would send. Written from the RFCs, so that nothing of ours is asked. */

export type Lane = 'fast' | 'slow';

export const lanes: readonly Lane[] = ['fast', 'slow'];

/** The reserved setting of the fast lane. */
export const laneSetting = 0xf51c;

const preface = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n');

export const frameType = {
  data: 0,
  headers: 1,
  priority: 2,
  reset: 3,
  settings: 4,
  ping: 6,
  goaway: 7,
  windowUpdate: 8,
  continuation: 9,
} as const;

export const flag = { ack: 1, endStream: 1, endHeaders: 4 } as const;

export interface FrameOptions {
  readonly flags?: number;
  readonly stream?: number;
}

export function frame(
  type: keyof typeof frameType,
  body: Uint8Array = Buffer.alloc(0),
  { flags = 0, stream = 0 }: FrameOptions = {},
): Buffer {
  const head = Buffer.alloc(9);
  head.writeUIntBE(body.byteLength, 0, 3);
  head[3] = frameType[type];
  head[4] = flags;
  head.writeUInt32BE(stream, 5);
  return Buffer.concat([head, body]);
}

export const uint32 = (value: number): Buffer => {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
};

export function settings(...pairs: readonly (readonly [id: number, value: number])[]): Buffer {
  const body = pairs.map(([id, value]) => Buffer.concat([Buffer.from([id >> 8, id & 255]), uint32(value)]));
  return frame('settings', Buffer.concat(body));
}

/** The first bytes of a caller of this lane. */
export const hello = (lane: Lane): Buffer => helloWith(...(lane === 'fast' ? [[laneSetting, 1] as const] : []));

export const helloWith = (...pairs: readonly (readonly [id: number, value: number])[]): Buffer =>
  Buffer.concat([preface, settings(...pairs)]);

/** A header as HPACK has it without any table: literal, never indexed before, no Huffman code. */
export function literal(name: string, value: string): Buffer {
  const text = (bytes: Buffer): Buffer => Buffer.concat([lengthOf(bytes.byteLength), bytes]);
  return Buffer.concat([Buffer.from([0]), text(Buffer.from(name)), text(Buffer.from(value))]);
}

/** HPACK's integer with a prefix of seven bits. */
function lengthOf(length: number): Buffer {
  if (length < 127) return Buffer.from([length]);
  const bytes = [127];
  let left = length - 127;
  for (; left >= 128; left = Math.floor(left / 128)) bytes.push((left % 128) + 128);
  return Buffer.from([...bytes, left]);
}

/** The header block of a call. */
export const callBlock = (path: string, ...more: readonly Buffer[]): Buffer =>
  Buffer.concat([
    // :method POST, :scheme http.
    Buffer.from([0x83, 0x86]),
    literal(':path', path),
    literal(':authority', 'x'),
    literal('content-type', 'application/grpc'),
    literal('te', 'trailers'),
    ...more,
  ]);

export const call = (path: string, stream: number): Buffer =>
  frame('headers', callBlock(path), { flags: flag.endHeaders, stream });

export const reset = (stream: number): Buffer => frame('reset', uint32(8), { stream });

/** One gRPC message in DATA frames of the size that every peer takes. */
export function message(body: Uint8Array, stream: number): Buffer {
  const whole = Buffer.concat([Buffer.from([0]), uint32(body.byteLength), body]);
  const frames = [];
  for (let at = 0; at < whole.byteLength; at += 16_384) {
    frames.push(frame('data', whole.subarray(at, at + 16_384), { stream }));
  }
  return Buffer.concat(frames);
}
