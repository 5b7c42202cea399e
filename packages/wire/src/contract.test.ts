import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { MessageTypeDefinition, ServiceDefinition } from '@grpc/proto-loader';
import { loadSync } from '@grpc/proto-loader';
import { describe, expect, test } from 'vitest';
import { allMethods } from './methods.ts';
import { protoDirectory, protoFiles, protoOptions } from './proto-codec.ts';

interface FieldDescriptor {
  readonly name: string;
  readonly label: string;
  readonly type: string;
  readonly typeName: string;
}

interface MessageDescriptor {
  readonly name: string;
  readonly field: readonly FieldDescriptor[];
  readonly nestedType: readonly { readonly name: string }[];
}

const definitions = loadSync([...protoFiles], protoOptions);
const services = Object.entries(definitions).filter(
  (entry): entry is [string, ServiceDefinition] => !('format' in entry[1]),
);
const rpcs = services.flatMap(([, service]) => Object.values(service));
const messages = Object.entries(definitions)
  .filter(([, definition]) => definition.format === 'Protocol Buffer 3 DescriptorProto')
  .map(([, definition]) => (definition as MessageTypeDefinition<object, object>).type as MessageDescriptor);

test('every .proto file is part of the contract', () => {
  const found = readdirSync(protoDirectory, { recursive: true, encoding: 'utf8' }).filter((path) =>
    path.endsWith('.proto'),
  );
  expect(found.sort()).toEqual([...protoFiles].sort());
});

test('every RPC has a method with an authorization operation, and every method is an RPC', () => {
  const declared = rpcs.map((rpc) => ({
    path: rpc.path,
    kind: rpc.requestStream && rpc.responseStream ? 'stream' : 'unary',
    face: rpc.path.startsWith('/sluice.peer.') ? 'peer' : 'client',
  }));
  const listed = allMethods().map(({ path, kind, face }) => ({ path, kind, face }));
  const byPath = (one: { path: string }, other: { path: string }): number => one.path.localeCompare(other.path);
  expect(listed.sort(byPath)).toEqual(declared.sort(byPath));
  for (const rpc of rpcs)
    expect(rpc.requestStream, `${rpc.path} streams both ways or not at all`).toBe(rpc.responseStream);
  for (const method of allMethods()) {
    expect(method.operation).toMatch(method.face === 'peer' ? /^cluster:act$/ : /^(topic|cluster):(?!act)[a-z]+$/);
  }
});

describe('a comment stands above', () => {
  for (const file of protoFiles) {
    test(`everything declared in ${file}`, () => {
      const lines = readFileSync(join(protoDirectory, file), 'utf8').split('\n');
      const bare = lines.filter((line, at) => {
        const declares = /^\s*(service|message|enum|rpc)\s|^\s+[\w.<>, ]+ \w+ = \d+;|^\s+[A-Z_]+ = \d+;/.test(line);
        return declares && !lines[at - 1]?.trim().startsWith('//');
      });
      expect(lines.some((line) => line.startsWith('message '))).toBe(true);
      expect(bare).toEqual([]);
    });
  }
});

test('every call between nodes says who speaks, and for which cluster', () => {
  const peerRpcs = rpcs.filter(({ path }) => path.startsWith('/sluice.peer.'));
  const fieldsOf = ({ requestType }: (typeof rpcs)[number]): readonly string[] =>
    (requestType.type as MessageDescriptor).field.map(({ name, typeName }) => `${name}: ${typeName.split('.').at(-1)}`);
  const silent = peerRpcs.filter((rpc) => !fieldsOf(rpc).includes('identity: Identity')).map(({ path }) => path);
  expect([peerRpcs.length > 10, silent]).toEqual([true, []]);
});

/** What the field must be in TypeScript. */
function typeOf(field: FieldDescriptor, isMap: boolean): string {
  const short = field.typeName.split('.').at(-1) ?? '';
  if (isMap) return 'Readonly<Record<string, string>>';
  const scalar: Record<string, string> = { TYPE_STRING: 'string', TYPE_BOOL: 'boolean', TYPE_BYTES: 'Uint8Array' };
  const single = scalar[field.type] ?? (/MESSAGE|ENUM/.test(field.type) ? short : 'number');
  if (field.label === 'LABEL_REPEATED') return `readonly ${single}[]`;
  return field.type === 'TYPE_MESSAGE' ? `${single} | null` : single;
}

test('the TypeScript messages have exactly the fields of the contract, with their types', () => {
  const source = ['admin', 'broker', 'errors', 'peer']
    .map((name) => readFileSync(join(import.meta.dirname, `messages-${name}.ts`), 'utf8'))
    .join('\n');
  const written = new Map(
    [...source.matchAll(/export interface (\w+) \{(.*?)\}/gs)].map(([, name, body]) => [
      name,
      [...(body ?? '').matchAll(/readonly (\w+): (.*);/g)].map(([, field, type]) => `${field}: ${type}`),
    ]),
  );
  const expected = messages.map(({ name, field, nestedType }) => [
    name,
    field.map((one) => {
      const isMap = nestedType.some((nested) => one.typeName.split('.').at(-1) === nested.name);
      return `${one.name.replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase())}: ${typeOf(one, isMap)}`;
    }),
  ]);
  expect(Object.fromEntries(written)).toEqual(Object.fromEntries(expected));
});
