import fc from 'fast-check';
import { expect, test } from 'vitest';
import { helloBytesMax, laneSettingId, laneVersion, readHello } from './fast-lane-hello.ts';
import { hello, preface, settingsFrame } from './raw-http2.testing.ts';

const setting = fc.tuple(fc.integer({ min: 0, max: 0xefff }), fc.nat(0xffff_ffff));
const settings = fc.array(setting, { maxLength: 80 });

test('the announcement is found wherever it stands, and the rest of the bytes change nothing', () => {
  fc.assert(
    fc.property(settings, settings, fc.boolean(), fc.uint8Array(), (before, after, announces, rest) => {
      const own: [number, number][] = announces ? [[laneSettingId, laneVersion]] : [];
      const bytes = Buffer.concat([preface, settingsFrame([...before, ...own, ...after]), rest]);
      expect(readHello(bytes)).toBe(announces ? 'fast' : 'slow');
    }),
  );
});

test('whatever comes first, it is known after 1 KiB of settings at the latest, and more bytes never change it', () => {
  const start = fc.oneof(fc.constant(hello('fast')), fc.constant(preface), fc.constant(Buffer.alloc(0)));
  fc.assert(
    fc.property(start, fc.uint8Array({ maxLength: 2 * helloBytesMax }), (known, random) => {
      const bytes = Buffer.concat([known, random]);
      const answers = Array.from({ length: bytes.byteLength + 1 }, (_, end) => readHello(bytes.subarray(0, end)));
      const undecided = answers.lastIndexOf('incomplete') + 1;
      expect(undecided).toBeLessThanOrEqual(helloBytesMax);
      expect(answers.indexOf('incomplete', undecided)).toBe(-1);
      expect(new Set(answers.slice(0, undecided)).size).toBe(1);
      expect(new Set(answers.slice(undecided)).size).toBeLessThanOrEqual(1);
    }),
  );
});

test.each([
  ['a length that is no number of settings', [0, 0, 5, 4, 0, 0, 0, 0, 0]],
  ['another type', [0, 0, 0, 6, 0, 0, 0, 0, 0]],
  ['an acknowledgement', [0, 0, 0, 4, 1, 0, 0, 0, 0]],
  ['a stream', [0, 0, 0, 4, 0, 0, 0, 0, 1]],
])('a first frame with %s is no hello', (_name, header) => {
  expect(readHello(Buffer.concat([preface, Buffer.from(header), Buffer.alloc(6)]))).toBe('malformed');
});

test('more settings than 1 KiB holds are refused by their length alone', () => {
  const many = (count: number): Buffer =>
    Buffer.concat([preface, settingsFrame(Array.from({ length: count }, (_, at): [number, number] => [at, 1]))]);
  expect(readHello(many(170))).toBe('slow');
  expect(readHello(many(171))).toBe('malformed');
  expect(readHello(many(171).subarray(0, preface.byteLength + 9))).toBe('malformed');
});

test('another version of the lane is not ours to speak', () => {
  expect(readHello(Buffer.concat([preface, settingsFrame([[laneSettingId, laneVersion + 1]])]))).toBe('slow');
});

test('bytes in the middle of a larger buffer are read where they are', () => {
  const pool = Buffer.concat([Buffer.alloc(7, 1), hello('fast')]);
  expect(readHello(pool.subarray(7))).toBe('fast');
});
