/** What the contract says of the hot messages, as generators: of values, and of every way to write them as bytes. */
import type { MessageTypeDefinition } from '@grpc/proto-loader';
import { loadSync } from '@grpc/proto-loader';
import fc from 'fast-check';
import { protoFiles, protoOptions } from './proto-codec.ts';

export interface Field {
  readonly name: string;
  readonly number: number;
  readonly type: string;
  readonly repeated: boolean;
  readonly message: readonly Field[] | undefined;
}

/** Bytes of a message, and what they mean to a reader that does not merge a sub-message that comes twice. */
export interface Written {
  readonly bytes: Buffer;
  readonly merged: Buffer;
}

interface Descriptor {
  readonly field: readonly {
    readonly name: string;
    readonly number: number;
    readonly label: string;
    readonly type: string;
    readonly typeName: string;
  }[];
}

const definitions = loadSync([...protoFiles], protoOptions);

export function fieldsOf(message: string): readonly Field[] {
  const { type } = definitions[message] as MessageTypeDefinition<object, object>;
  return (type as Descriptor).field.map((one) => ({
    name: one.name.replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase()),
    number: one.number,
    type: one.type,
    repeated: one.label === 'LABEL_REPEATED',
    message: one.type === 'TYPE_MESSAGE' ? fieldsOf(fullName(one.typeName, message)) : undefined,
  }));
}

/** A name as the descriptor has it, relative to any of the packages around `home`. */
function fullName(name: string, home: string): string {
  const parts = home.split('.');
  const around = parts.map((_, at) => [...parts.slice(0, at), name.replace(/^\./, '')].join('.'));
  const found = around.find((full) => definitions[full] !== undefined);
  if (found === undefined) throw new Error(`no message ${name} near ${home}`);
  return found;
}

const uint32 = fc.oneof(fc.nat(300), fc.integer({ min: 0, max: 0xffff_ffff }));
const uint64 = fc.oneof(fc.nat(300), fc.nat(), fc.maxSafeNat(), fc.constant(Number.MAX_SAFE_INTEGER));
const text = fc.oneof(fc.string({ unit: 'grapheme', maxLength: 80 }), fc.constant('0123456789abcdef'.repeat(2)));
const bytes = fc.oneof(
  fc.uint8Array({ maxLength: 40 }),
  fc.integer({ min: 1_000, max: 1_100 }).map((length) => new Uint8Array(length).fill(length)),
);

function scalar(type: string): fc.Arbitrary<unknown> {
  if (type === 'TYPE_UINT32') return uint32;
  if (type === 'TYPE_UINT64') return uint64;
  if (type === 'TYPE_SINT32') return fc.oneof(fc.integer({ min: -300, max: 300 }), fc.integer());
  if (type === 'TYPE_ENUM') return fc.nat(2);
  if (type === 'TYPE_BOOL') return fc.boolean();
  if (type === 'TYPE_STRING') return text;
  if (type === 'TYPE_BYTES') return bytes;
  throw new Error(`no values for ${type}`);
}

/** Values of a message, each field left out at times. */
export function valueOf(fields: readonly Field[]): fc.Arbitrary<object> {
  const entries = fields.map((field): [string, fc.Arbitrary<unknown>] => {
    const single = field.message === undefined ? scalar(field.type) : valueOf(field.message);
    if (field.repeated) return [field.name, fc.array(single, { maxLength: 4 })];
    return [field.name, field.message === undefined ? single : fc.option(single)];
  });
  return fc.record(Object.fromEntries(entries), { requiredKeys: [] });
}

const delimited = (content: Uint8Array, pad = 0): Buffer => Buffer.concat([varint(content.length, pad), content]);

/** `pad`: bytes more than needed, as some writers leave room for a length that they learn later. */
export function varint(value: number | bigint, pad = 0): Buffer {
  const out: number[] = [];
  let rest = BigInt.asUintN(64, BigInt(value));
  for (; rest > 127n; rest >>= 7n) out.push(Number(rest & 127n) | 128);
  out.push(Number(rest));
  for (let left = pad; left > 0; left -= 1) {
    out[out.length - 1] = (out.at(-1) ?? 0) | 128;
    out.push(0);
  }
  return Buffer.from(out);
}

const tagged = (number: number, wireType: number, content: Uint8Array): Buffer =>
  Buffer.concat([varint(number * 8 + wireType), content]);

const alike = (written: Buffer): Written => ({ bytes: written, merged: written });

const joined = (parts: readonly Written[]): Written => ({
  bytes: Buffer.concat(parts.map((part) => part.bytes)),
  merged: Buffer.concat(parts.map((part) => part.merged)),
});

/** A number as its field has it on the wire, sometimes longer than needed, never longer than five bytes. */
function writtenNumber(type: string): fc.Arbitrary<Buffer> {
  if (type === 'TYPE_UINT64') return fc.tuple(uint64, fc.nat(2)).map(([value, pad]) => varint(value, pad));
  if (type === 'TYPE_BOOL') return fc.nat(3).map((value) => varint(value));
  if (type === 'TYPE_ENUM') return fc.integer().map((value) => varint(value));
  return fc.tuple(uint32, fc.nat(4)).map(([value, pad]) => varint(value, Math.min(pad, 5 - varint(value).length)));
}

const unknownLeaf = (number: number): fc.Arbitrary<Buffer> =>
  fc.oneof(
    fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }).map((value) => tagged(number, 0, varint(value))),
    fc.uint8Array({ minLength: 8, maxLength: 8 }).map((content) => tagged(number, 1, content)),
    fc.uint8Array({ maxLength: 20 }).map((content) => tagged(number, 2, delimited(content))),
    fc.uint8Array({ minLength: 4, maxLength: 4 }).map((content) => tagged(number, 5, content)),
  );

/** A field of a later version: any wire type, groups too. */
const unknown = fc.tuple(fc.integer({ min: 12, max: 2 ** 29 - 1 }), fc.nat(3)).chain(([number, depth]) =>
  unknownLeaf(number).map((leaf) => {
    let written = leaf;
    for (let left = depth; left > 0; left -= 1) {
      written = Buffer.concat([varint(number * 8 + 3), written, varint(number * 8 + 4)]);
    }
    return alike(written);
  }),
);

/** One occurrence of the field, or for a list several, packed or not. */
function writtenField(field: Field): fc.Arbitrary<Written> {
  const { number, message } = field;
  if (message !== undefined) {
    const once = writtenMessage(message);
    const one = once.map((part) => ({
      bytes: tagged(number, 2, delimited(part.bytes)),
      merged: tagged(number, 2, delimited(part.merged)),
    }));
    if (field.repeated) return fc.array(one, { maxLength: 3 }).map(joined);
    const twice = fc.tuple(once, unknown, once).map(([first, between, second]) => ({
      bytes: Buffer.concat([
        tagged(number, 2, delimited(first.bytes)),
        between.bytes,
        tagged(number, 2, delimited(second.bytes)),
      ]),
      merged: tagged(number, 2, delimited(joined([first, second]).merged)),
    }));
    return fc.oneof({ arbitrary: one, weight: 3 }, { arbitrary: twice, weight: 1 });
  }
  if (field.type === 'TYPE_STRING' || field.type === 'TYPE_BYTES') {
    // Any bytes, also those that are no UTF-8.
    const content = fc.oneof(
      bytes,
      text.map((value) => Buffer.from(value)),
    );
    const one = fc.tuple(content, fc.nat(2)).map(([value, pad]) => alike(tagged(number, 2, delimited(value, pad))));
    return field.repeated ? fc.array(one, { maxLength: 3 }).map(joined) : one;
  }
  const one = writtenNumber(field.type).map((content) => alike(tagged(number, 0, content)));
  if (!field.repeated) return one;
  const packed = fc
    .array(writtenNumber(field.type), { maxLength: 5 })
    .map((list) => alike(tagged(number, 2, delimited(Buffer.concat(list)))));
  return fc.array(fc.oneof(one, packed), { maxLength: 3 }).map(joined);
}

/** Every way to write such a message: any order, fields twice or not at all, fields of later versions in between. */
export function writtenMessage(fields: readonly Field[]): fc.Arbitrary<Written> {
  const parts = fields.map((field) =>
    fc.array(writtenField(field), { maxLength: field.message === undefined ? 2 : 1 }),
  );
  return fc
    .tuple(fc.tuple(...parts), fc.array(unknown, { maxLength: 2 }), fc.infiniteStream(fc.nat()))
    .map(([known, strange, order]) => {
      const all: Written[] = [...known.flat(), ...strange];
      const keys: readonly number[] = [...order.take(all.length)];
      return joined(all.toSorted((one, other) => (keys[all.indexOf(one)] ?? 0) - (keys[all.indexOf(other)] ?? 0)));
    });
}

/** The same bytes in pieces, cut anywhere, some of them empty. */
export function inChunks(whole: Uint8Array, cuts: readonly number[]): Uint8Array[] {
  const places = cuts.map((cut) => cut % (whole.length + 1)).sort((one, other) => one - other);
  return [0, ...places].map((from, at) => Uint8Array.from(whole.subarray(from, places[at] ?? whole.length)));
}
