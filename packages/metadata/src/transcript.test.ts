/**
 * Transcripts: `testdata/*.txt` holds commands, each followed by the records and the response that `decide` gave. The
 * records are replayed before the next command, one entry a command. `UPDATE_TRANSCRIPTS=1` rewrites the files; the
 * diff is the review.
 */
import { readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import {
  brokerEpoch,
  clusterId,
  directoryId,
  leaderEpoch,
  logIndex,
  nodeId,
  offset,
  partitionEpoch,
  partitionIndex,
  topicId,
} from '@sluice/base';
import type { BrokerEpoch, TopicId } from '@sluice/base';
import { expect, test } from 'vitest';
import { decide } from './decide.ts';
import { MetadataImage } from './image.ts';
import { decodeRecords, encodeRecords } from './records.ts';
import type { MetadataRecord } from './records.ts';
import type { FoundLog, MetadataRequest, NodeIdentity, PartitionAlteration } from './requests.ts';
import type { PartitionKey } from './state.ts';
import { describeCluster, describeTopic } from './view.ts';

const directory = fileURLToPath(new URL('../testdata/', import.meta.url));
const identity = (text: string): string => Buffer.from(text).toString('hex').padStart(32, '0').slice(-32);

/** The same in each registration of these files; `records.test.ts` holds the whole record. */
const registrationNoise = ['softwareVersion', 'clientListeners', 'peerAddress', 'adminAddress'];

interface Arguments {
  readonly words: readonly string[];
  readonly options: ReadonlyMap<string, string>;
}

class Session {
  readonly #image = new MetadataImage();
  #index = 0;
  #topicsMade = 0;
  readonly #topicNames = new Map<TopicId, string>();

  run(line: string): readonly string[] {
    const [command = '', ...rest] = line.split(' ');
    const words = rest.filter((word) => !word.includes('='));
    const options = new Map(
      rest
        .filter((word) => word.includes('='))
        .map((word): [string, string] => [word.slice(0, word.indexOf('=')), word.slice(word.indexOf('=') + 1)]),
    );
    if (command === 'up') return words.flatMap((word) => this.#bringUp(word));
    if (command === 'status') return this.#status();
    if (command === 'describe') {
      return describeTopic(this.#image, 'default', words[0]!)!.partitions.map((row) => JSON.stringify(row));
    }
    return this.#decide(this.#request(command, { words, options }));
  }

  /** Registers and admits a node; the records are those of `register` and `unfence`. */
  #bringUp(word: string): readonly string[] {
    for (const command of ['register', 'unfence']) {
      const last = this.run(`${command} ${word}`).at(-1);
      if (last?.startsWith('ok ') !== true) throw new Error(last);
    }
    return [`node ${word} has broker epoch ${this.#image.node(nodeId(+word))!.brokerEpoch}`];
  }

  #decide(request: MetadataRequest): readonly string[] {
    const { records, response } = decide(this.#image, request);
    const decoded = decodeRecords(encodeRecords(records));
    if (!decoded.ok) throw new Error(decoded.failure.message);
    const lines: string[] = [];
    if (records.length > 0) {
      this.#index += 1;
      lines.push(`entry ${this.#index}`, ...records.map((record) => `  ${this.#render(record)}`));
      this.#image.replayEntry(logIndex(this.#index), decoded.records);
    }
    if (response.ok) return [...lines, `ok ${this.#readable(JSON.stringify(response.value))}`];
    return [...lines, `${response.error.code}: ${this.#readable(response.error.message)}`];
  }

  #render(record: MetadataRecord): string {
    if (record.type === 'topicCreated') this.#topicNames.set(record.topicId, record.name);
    const { type, version: _version, ...fields } = record;
    const shown = Object.entries(fields).filter(([name]) => !registrationNoise.includes(name));
    return this.#readable([type, ...shown.map(([name, value]) => `${name}=${JSON.stringify(value)}`)].join(' '));
  }

  #readable(text: string): string {
    let readable = text;
    for (const [id, name] of this.#topicNames) readable = readable.replaceAll(id, `<${name}>`);
    return readable.replaceAll(/0{20,}([0-9a-f]*)/g, (_all, hex: string) => `#${Buffer.from(hex, 'hex').toString()}`);
  }

  #status(): readonly string[] {
    const { nodes, ...rest } = describeCluster(this.#image, 'client');
    return [
      this.#readable(JSON.stringify(rest)),
      ...nodes.map(({ id, state, leaders, replicas }) => `node ${id} ${state} leads ${leaders} of ${replicas}`),
    ];
  }

  #epochOf(id: number, options: ReadonlyMap<string, string>): BrokerEpoch {
    const given = options.get('epoch');
    return given === undefined ? (this.#image.node(nodeId(id))?.brokerEpoch ?? brokerEpoch(0)) : brokerEpoch(+given);
  }

  #request(command: string, { words, options }: Arguments): MetadataRequest {
    const [first = ''] = words;
    const node = (): NodeIdentity => ({ nodeId: nodeId(+first), brokerEpoch: this.#epochOf(+first, options) });
    switch (command) {
      case 'init':
        return { type: 'initialize', clusterId: clusterId(identity(first)), level: +(options.get('level') ?? 1) };
      case 'register':
        return this.#register(+first, words, options);
      case 'unfence': {
        const metadataIndex = logIndex(+(options.get('index') ?? this.#index));
        return { type: 'unfenceNode', ...node(), metadataIndex };
      }
      case 'fence':
        return {
          type: 'fenceNodes',
          nodes: words.map((word) => ({ nodeId: nodeId(+word), brokerEpoch: this.#epochOf(+word, options) })),
        };
      case 'drain':
        return { type: 'drainNode', ...node(), partitionsMax: +(options.get('max') ?? 100) };
      case 'back':
        return { type: 'fenceEarlierLife', node: node() };
      case 'stall':
        return { type: 'stallNode', ...node(), stalled: words[1] !== 'over' };
      case 'recover':
        return {
          type: 'recoverPartition',
          ...this.#named(first),
          found: words.slice(1).map((word) => this.#found(word)),
        };
      case 'create':
        return this.#create(first, options);
      case 'delete':
        return { type: 'deleteTopic', namespace: 'default', name: first };
      case 'alter':
        return { type: 'alterPartitions', ...node(), partitions: words.slice(1).map((word) => this.#alteration(word)) };
      case 'damage':
        return { type: 'reportDamage', ...node(), ...this.#named(words[1] ?? ''), serves: words[2] !== 'unloaded' };
      case 'producer-ids':
        return { type: 'allocateProducerIds', ...node() };
      case 'prefer':
        return { type: 'electPreferred', partitionsMax: +first };
      default:
        throw new Error(`unknown command ${command}`);
    }
  }

  /** `topic/partition` */
  #named(word: string): PartitionKey {
    const [name = '', partition = '0'] = word.split('/');
    const topic = this.#image.topicNamed('default', name);
    return { topicId: topic?.topicId ?? topicId(identity('gone')), partition: partitionIndex(+partition) };
  }

  /** `node:lastEpoch:logEnd`, or `node:-:0` of an empty log; `node@brokerEpoch` when it is not the present one. */
  #found(word: string): FoundLog {
    const [who = '', lastEpoch = '-', logEnd = '0'] = word.split(':');
    const [id = '0', epoch] = who.split('@');
    return {
      nodeId: nodeId(+id),
      brokerEpoch: this.#epochOf(+id, new Map(epoch === undefined ? [] : [['epoch', epoch]])),
      lastEpoch: lastEpoch === '-' ? null : leaderEpoch(+lastEpoch),
      logEnd: offset(+logEnd),
    };
  }

  #register(id: number, words: readonly string[], options: ReadonlyMap<string, string>): MetadataRequest {
    const last = options.get('last');
    const known = this.#image.node(nodeId(id))?.brokerEpoch;
    const presented = last === undefined ? known : last === 'none' ? undefined : brokerEpoch(+last);
    return {
      type: 'registerNode',
      nodeId: nodeId(id),
      directoryId: directoryId(identity(options.get('dir') ?? `d${id}`)),
      incarnation: identity(options.get('inc') ?? `i${id}`),
      softwareVersion: '0.1.0',
      rack: options.get('rack') ?? null,
      clientListeners: [{ name: 'client', protocol: 'grpc', address: options.get('client') ?? `n${id}:7650` }],
      peerAddress: `n${id}:7651`,
      adminAddress: `n${id}:7652`,
      lastBrokerEpoch: presented ?? null,
      lossy: words.includes('lossy'),
      unclean: words.includes('unclean'),
      sessionLive: words.includes('live'),
    };
  }

  #create(name: string, options: ReadonlyMap<string, string>): MetadataRequest {
    const { partitions = '1', replication, namespace = 'default', ...config } = Object.fromEntries(options);
    this.#topicsMade += 1;
    return {
      type: 'createTopic',
      topicId: topicId(identity(`t${this.#topicsMade}`)),
      namespace,
      name,
      partitions: +partitions,
      replication: replication === undefined ? null : +replication,
      config,
    };
  }

  /** `topic/partition:1,2@epoch,3`, and `/leaderEpoch/partitionEpoch` behind it when they are not the present ones. */
  #alteration(word: string): PartitionAlteration {
    const [where = '', isr = ''] = word.split(':');
    const [name = '', partition = '0', leaderAt, partitionAt] = where.split('/');
    const topic = this.#image.topicNamed('default', name);
    const state = topic?.partitions[+partition];
    return {
      topicId: topic?.topicId ?? topicId(identity('gone')),
      partition: partitionIndex(+partition),
      leaderEpoch: leaderEpoch(+(leaderAt ?? state?.leaderEpoch ?? 0)),
      partitionEpoch: partitionEpoch(+(partitionAt ?? state?.partitionEpoch ?? 0)),
      isr: isr
        .split(',')
        .filter((member) => member !== '')
        .map((member) => {
          const [who = '0', stated] = member.split('~');
          const [id = '0', epoch] = who.split('@');
          return {
            nodeId: nodeId(+id),
            brokerEpoch: this.#epochOf(+id, new Map(epoch ? [['epoch', epoch]] : [])),
            statedEpoch: partitionEpoch(+(stated ?? state?.partitionEpoch ?? 0)),
          };
        }),
    };
  }
}

function runTranscript(text: string): string {
  const session = new Session();
  const output: string[] = [];
  for (const line of text.split('\n')) {
    if (line.startsWith('#') || line === '') output.push(line);
    else if (line.startsWith('> ')) output.push(line, ...session.run(line.slice(2)).map((result) => `  ${result}`));
  }
  return output.join('\n');
}

const names = readdirSync(directory).filter((name) => name.endsWith('.txt'));

test('there are transcripts', () => expect(names.length).toBeGreaterThan(5));

test.each(names)('%s', (name) => {
  const path = `${directory}${name}`;
  const text = readFileSync(path, 'utf8');
  const actual = runTranscript(text);
  if (process.env['UPDATE_TRANSCRIPTS'] === '1') writeFileSync(path, actual);
  expect(actual).toBe(readFileSync(path, 'utf8'));
});
