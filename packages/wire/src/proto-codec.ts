/** Adapter: codecs that proto-loader makes from `proto/`, which is read when the first message passes. */
import { fileURLToPath } from 'node:url';
import type { MessageTypeDefinition, MethodDefinition, PackageDefinition } from '@grpc/proto-loader';
import { loadSync } from '@grpc/proto-loader';
import type { Message } from '@sluice/base';
import { invariant, SluiceError } from '@sluice/base';
import type { Codec } from './codec.ts';
import { encodeShared } from './shared-messages.ts';

export const protoDirectory: string = fileURLToPath(new URL('../../../proto', import.meta.url));

export const protoFiles: readonly string[] = [
  'sluice/v1/errors.proto',
  'sluice/v1/admin.proto',
  'sluice/v1/broker.proto',
  'sluice/peer/v1/peer.proto',
];

/** Numbers for all integers; every field, list and map present; absent sub-messages null. */
export const protoOptions = {
  includeDirs: [protoDirectory],
  longs: Number,
  defaults: true,
  arrays: true,
  objects: true,
};

interface Serializer {
  serialize(value: object): Buffer;
  deserialize(bytes: Buffer): object;
}

let loaded: { readonly definitions: PackageDefinition; readonly methods: ReadonlyMap<string, AnyMethod> } | undefined;

type AnyMethod = MethodDefinition<object, object>;

/** Reads the contract now: for who must not touch a file later. */
export function readContract(): void {
  contract();
}

/** The codec of one direction of the method at `path`. */
export function methodCodec<T>(path: string, direction: 'request' | 'response'): Codec<T> {
  return protoCodec(`${direction} of ${path}`, () => {
    const method = contract().methods.get(path);
    invariant(method !== undefined, 'the contract has no such method', { path });
    return direction === 'request'
      ? { serialize: method.requestSerialize, deserialize: method.requestDeserialize }
      : { serialize: method.responseSerialize, deserialize: method.responseDeserialize };
  });
}

/** The codec of the message with this full name. */
export function messageCodec<T>(name: string): Codec<T> {
  return protoCodec(name, () => {
    const definition = contract().definitions[name];
    invariant(definition?.format === 'Protocol Buffer 3 DescriptorProto', 'the contract has no such message', { name });
    return definition as MessageTypeDefinition<object, object>;
  });
}

function protoCodec<T>(what: string, find: () => Serializer): Codec<T> {
  let serializer: Serializer | undefined;
  const encode = (value: object): Message => {
    const odd = oddInteger(value);
    invariant(odd === undefined, 'a message holds a number that is no safe integer', { what, value: String(odd) });
    serializer ??= find();
    return [serializer.serialize(value)];
  };
  const codec: Codec<T> = {
    encode: (value) => encodeShared(codec, value as object, () => encode(value as object)),
    decode(message: Message): T {
      serializer ??= find();
      const value = parse(serializer, message, what);
      const odd = oddInteger(value);
      if (odd === undefined) return value as T;
      throw new SluiceError('INVALID_REQUEST', {
        message: `The ${what} holds the integer ${odd}; the largest allowed is 2^53 − 1.`,
      });
    },
  };
  return codec;
}

function parse(serializer: Serializer, message: Message, what: string): object {
  try {
    return serializer.deserialize(joined(message));
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new SluiceError('INVALID_REQUEST', {
      message: `The ${what} is not what its .proto file says: ${why}.`,
      cause,
    });
  }
}

function joined(message: Message): Buffer {
  const [first] = message;
  if (message.length !== 1 || first === undefined) return Buffer.concat(message);
  return Buffer.from(first.buffer, first.byteOffset, first.byteLength);
}

/** The first number that is no safe integer. The contract has no floating-point field. */
function oddInteger(value: unknown): number | undefined {
  if (typeof value === 'number') return Number.isSafeInteger(value) ? undefined : value;
  if (typeof value !== 'object' || value === null || ArrayBuffer.isView(value)) return undefined;
  const parts: readonly unknown[] = Array.isArray(value) ? value : Object.values(value);
  for (const part of parts) {
    const odd = oddInteger(part);
    if (odd !== undefined) return odd;
  }
  return undefined;
}

function contract(): NonNullable<typeof loaded> {
  if (loaded === undefined) {
    const definitions = loadSync([...protoFiles], protoOptions);
    const methods = new Map<string, AnyMethod>();
    for (const definition of Object.values(definitions)) {
      // A service is the only definition without a format.
      if ('format' in definition) continue;
      for (const method of Object.values(definition)) methods.set(method.path, method);
    }
    loaded = { definitions, methods };
  }
  return loaded;
}
