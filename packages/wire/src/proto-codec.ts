/** Adapter: codecs that proto-loader makes from `proto/`, read once, when the first message passes. */
import { fileURLToPath } from 'node:url';
import type { Message } from '@sluice/base';
import { invariant, SluiceError } from '@sluice/base';
import type { MethodDefinition } from '@grpc/proto-loader';
import { loadSync } from '@grpc/proto-loader';
import type { Codec, Partially } from './codec.ts';

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

type Serializers = Pick<
  MethodDefinition<object, object>,
  'requestSerialize' | 'requestDeserialize' | 'responseSerialize' | 'responseDeserialize'
>;

let loaded: ReadonlyMap<string, Serializers> | undefined;

/** The codec of one direction of the method at `path`. */
export function protoCodec<T>(path: string, direction: 'request' | 'response'): Codec<T> {
  const serialize = direction === 'request' ? 'requestSerialize' : 'responseSerialize';
  const deserialize = direction === 'request' ? 'requestDeserialize' : 'responseDeserialize';
  return {
    encode(value: Partially<T>): Message {
      const odd = oddInteger(value);
      invariant(odd === undefined, 'a message holds a number that is no safe integer', { path, direction, value: odd });
      return [serializersAt(path)[serialize](value as object)];
    },
    decode(message: Message): T {
      const value = parse(serializersAt(path)[deserialize], message, path);
      const odd = oddInteger(value);
      if (odd === undefined) return value as T;
      throw new SluiceError('INVALID_REQUEST', {
        message: `A message of ${path} holds the integer ${odd}; the largest allowed is 2^53 − 1.`,
      });
    },
  };
}

function parse(deserialize: (bytes: Buffer) => object, message: Message, path: string): object {
  try {
    return deserialize(joined(message));
  } catch (cause) {
    throw new SluiceError('INVALID_REQUEST', {
      message: `A message of ${path} is not what its .proto file says: ${cause instanceof Error ? cause.message : ''}`,
      cause,
    });
  }
}

function joined(message: Message): Buffer {
  const [first] = message;
  if (message.length !== 1 || first === undefined) return Buffer.concat(message);
  return Buffer.from(first.buffer, first.byteOffset, first.byteLength);
}

/** The contract has no floating-point field, so every number in a message is an integer. */
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

function serializersAt(path: string): Serializers {
  loaded ??= load();
  const found = loaded.get(path);
  invariant(found !== undefined, 'the contract has no such method', { path });
  return found;
}

function load(): ReadonlyMap<string, Serializers> {
  const byPath = new Map<string, Serializers>();
  for (const definition of Object.values(loadSync([...protoFiles], protoOptions))) {
    if ('format' in definition) continue;
    for (const method of Object.values(definition)) byPath.set(method.path, method);
  }
  return byPath;
}
