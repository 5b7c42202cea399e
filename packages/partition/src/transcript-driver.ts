/**
 * Runs a transcript: each command is one line, `name key=value …`, and becomes one event; the answer is every effect
 * and where the replica then stands. `docs` of the commands is the table below: a value is read by its key.
 */
import {
  brokerEpoch,
  isErrorCode,
  leaderEpoch,
  nodeId,
  offset,
  partitionEpoch,
  producerEpoch,
  producerId,
  sessionNumber,
} from '@sluice/base';
import type { Durability, ErrorCode, NodeId } from '@sluice/base';
import type { PartitionEffects } from './effects.ts';
import type { Acks, BatchFacts, EpochStart, PartitionEvent, ProducerFacts, ProducerSnapshot } from './events.ts';
import { PartitionReplica } from './replica.ts';

/** The arguments of one command. */
class Arguments {
  readonly #values: ReadonlyMap<string, string>;

  constructor(words: readonly string[]) {
    this.#values = new Map(words.map((word) => [word.slice(0, word.indexOf('=')), word.slice(word.indexOf('=') + 1)]));
  }

  has(key: string): boolean {
    return this.#values.has(key);
  }

  text(key: string, otherwise?: string): string {
    const value = this.#values.get(key) ?? otherwise;
    if (value === undefined) throw new Error(`${key}= is missing`);
    return value;
  }

  number(key: string, otherwise?: number): number {
    return Number(this.text(key, otherwise === undefined ? undefined : String(otherwise)));
  }

  list(key: string): readonly string[] {
    return this.text(key, '').split(',').filter(Boolean);
  }

  nodes(key: string): readonly NodeId[] {
    return this.list(key).map((id) => nodeId(Number(id)));
  }

  error(key: string): ErrorCode {
    const code = this.text(key);
    if (!isErrorCode(code)) throw new Error(`${code} is no error code`);
    return code;
  }
}

export class TranscriptDriver {
  #replica: PartitionReplica | undefined;
  readonly #silentSinceMs = new Map<string, number>();

  run(command: string): string {
    const [name = '', ...words] = command.split(/\s+/);
    const args = new Arguments(words);
    switch (name) {
      case 'new':
        return this.#create(args);
      // `silent 2` and `silent controller`: not heard of since.
      case 'silent':
        this.#silentSinceMs.set(args.text('who'), args.number('since'));
        return 'ok';
      case 'hold':
        this.#alive().registerHolder(args.text('name'), offset(args.number('from')));
        return `removableEnd=${this.#alive().removableEnd}`;
      case 'latest':
        return bare(this.#alive().latestOffset());
      case 'read':
        return this.#alive().readError(offset(args.number('from'))) ?? 'ok';
      default:
        return this.#step(eventOf(name, args));
    }
  }

  #step(event: PartitionEvent): string {
    const replica = this.#alive();
    return `${describeEffects(replica.step(event))}${describeReplica(replica)}`;
  }

  #alive(): PartitionReplica {
    if (this.#replica === undefined) throw new Error('the transcript must begin with new');
    return this.#replica;
  }

  #create(args: Arguments): string {
    const heard = (who: string): number => this.#silentSinceMs.get(who) ?? Number.POSITIVE_INFINITY;
    this.#silentSinceMs.clear();
    this.#replica = new PartitionReplica({
      self: nodeId(args.number('self', 1)),
      config: {
        sessionTimeoutMs: 1_500,
        replicaLagMsMax: 2_000,
        producerExpiryMs: args.number('expiry', 86_400_000),
        producerCountMax: args.number('countMax', 1_000),
      },
      liveness: { heardAtMs: (id) => heard(String(id)), controllerHeardAtMs: () => heard('controller') },
      loaded: {
        logStart: offset(args.number('start', 0)),
        logEnd: offset(args.number('end', 0)),
        highWatermark: args.has('hw') ? offset(args.number('hw')) : undefined,
        epochs: args.list('epochs').map(epochStart),
        producers: args.list('producers').map(producerSnapshot),
        nowMs: 0,
      },
    });
    return describeReplica(this.#replica);
  }
}

function eventOf(name: string, args: Arguments): PartitionEvent {
  const nowMs = args.number('at', 0);
  const leadership = leaderEpoch(args.number('epoch', 0));
  const session = sessionNumber(args.number('session', 0));
  switch (name) {
    case 'assigned':
      return assigned(args, nowMs);
    case 'append':
      return {
        kind: 'append',
        requestId: args.number('id'),
        recordCount: args.number('count', 1),
        bytes: args.number('bytes', 100),
        producer: args.has('p') ? producerFacts(args.text('p')) : undefined,
        acks: args.text('acks', 'all') as Acks,
        refusal: args.has('refused') ? args.error('refused') : undefined,
        deadlineMs: args.number('deadline', 30_000),
        nowMs,
      };
    case 'durable':
      return {
        kind: 'durable',
        generation: args.number('generation', 0),
        end: offset(args.number('end')),
        start: offset(args.number('start', 0)),
        nowMs,
      };
    case 'tick':
      return { kind: 'tick', nowMs };
    case 'result': {
      const outcome = args.has('error')
        ? { kind: 'failed' as const, error: args.error('error') }
        : {
            kind: 'applied' as const,
            leaderEpoch: leaderEpoch(args.number('led', leadership)),
            partitionEpoch: partitionEpoch(args.number('now')),
            isr: args.nodes('isr'),
          };
      const asked = { leaderEpoch: leadership, partitionEpoch: partitionEpoch(args.number('pe')) };
      return { kind: 'isrChangeResult', ...asked, outcome, nowMs };
    }
    case 'pushed': {
      const marks = { highWatermark: offset(args.number('hw', 0)), logStart: offset(args.number('start', 0)) };
      const batches = args.list('batches').map(batchFacts);
      return { kind: 'pushed', leaderEpoch: leadership, session, batches, ...marks, nowMs };
    }
    case 'diverged': {
      const epoch = args.has('of') ? leaderEpoch(args.number('of')) : undefined;
      return { kind: 'diverged', leaderEpoch: leadership, session, epoch, endOffset: offset(args.number('end')) };
    }
    case 'refused': {
      const answer = { error: args.error('error'), logStart: offset(args.number('start', 0)) };
      return { kind: 'positionRefused', leaderEpoch: leadership, session, ...answer };
    }
    case 'restate':
      return { kind: 'restate' };
    case 'reloaded': {
      const producers = args.list('producers').map(producerSnapshot);
      return { kind: 'producersReloaded', generation: args.number('generation'), producers };
    }
    case 'trim':
      return { kind: 'trim', logStart: offset(args.number('to')) };
    case 'trimRequest': {
      const asked = { requestId: args.number('id'), before: offset(args.number('before')) };
      return { kind: 'trimRequest', ...asked, deadlineMs: args.number('deadline', 30_000), nowMs };
    }
    default:
      return followerEvent(name, args, nowMs);
  }
}

function followerEvent(name: string, args: Arguments, nowMs: number): PartitionEvent {
  const replica = nodeId(args.number('from'));
  const life = { brokerEpoch: brokerEpoch(args.number('life', replica * 10)) };
  const session = sessionNumber(args.number('session'));
  const leadership = leaderEpoch(args.number('epoch', 0));
  if (name === 'gone') return { kind: 'followerGone', replica, ...life, session };
  const durableOffset = offset(args.number('durable', args.number('fetch', 0)));
  const durableStart = offset(args.number('start', 0));
  const about = { replica, ...life, leaderEpoch: leadership, session, durableOffset, durableStart, nowMs };
  if (name === 'ack') {
    return { kind: 'followerAck', ...about, ackOffset: offset(args.number('memory', durableOffset)) };
  }
  if (name !== 'position') throw new Error(`unknown command ${name}`);
  const lastEpoch = args.has('last') ? leaderEpoch(args.number('last')) : undefined;
  const stated = { fetchOffset: offset(args.number('fetch')), partitionEpoch: partitionEpoch(args.number('pe', 0)) };
  return { kind: 'followerPosition', ...about, ...stated, lastEpoch };
}

/** `lives=10,20,31`: the broker epoch of each of the replicas 1, 2, 3. */
function assigned(args: Arguments, nowMs: number): PartitionEvent {
  const out = args.list('out');
  return {
    kind: 'assigned',
    leader: args.text('leader') === 'none' ? undefined : nodeId(args.number('leader')),
    leaderEpoch: leaderEpoch(args.number('epoch')),
    partitionEpoch: partitionEpoch(args.number('pe')),
    replicas: args
      .text('lives', '10,20,30')
      .split(',')
      .map((life, at) => ({
        nodeId: nodeId(at + 1),
        brokerEpoch: brokerEpoch(Number(life)),
        eligible: !out.includes(String(at + 1)),
      })),
    isr: args.nodes('isr'),
    elr: args.nodes('elr'),
    recoveredEpoch: args.has('recovered') ? leaderEpoch(args.number('recovered')) : undefined,
    minIsr: args.number('min', 2),
    durability: args.text('durability', 'fsync') as Durability,
    selfBrokerEpoch: brokerEpoch(args.number('life', 10)),
    ...(args.has('intact') && { intactEnd: offset(args.number('intact')) }),
    nowMs,
  };
}

/** `id/epoch/sequence` */
function producerFacts(text: string): ProducerFacts {
  const [id = 0, epoch = 0, baseSequence = 0] = text.split('/').map(Number);
  return { producerId: producerId(id), producerEpoch: producerEpoch(epoch), baseSequence };
}

/** `from-to@epoch`, `+bytes` when it is not 100 of them, and `:id/epoch/sequence` of an idempotent producer */
function batchFacts(text: string): BatchFacts {
  const [place = '', producer] = text.split(':');
  const [from = 0, to = 0, epoch = 0, bytes = 100] = place.split(/[-@+]/).map(Number);
  return {
    baseOffset: offset(from),
    endOffset: offset(to),
    bytes,
    leaderEpoch: leaderEpoch(epoch),
    producer: producer === undefined ? undefined : producerFacts(producer),
  };
}

/** `epoch@start` */
function epochStart(text: string): EpochStart {
  const [epoch = 0, start = 0] = text.split('@').map(Number);
  return { epoch: leaderEpoch(epoch), startOffset: offset(start) };
}

/** `id/epoch/firstSequence-lastSequence@baseOffset`, one batch */
function producerSnapshot(text: string): ProducerSnapshot {
  const [id = 0, epoch = 0, first = 0, last = 0, base = 0] = text.split(/[-/@]/).map(Number);
  const place = { baseOffset: offset(base), endOffset: offset(base + last - first + 1) };
  return {
    producerId: producerId(id),
    producerEpoch: producerEpoch(epoch),
    ageMs: 0,
    batches: [{ baseSequence: first, lastSequence: last, ...place }],
  };
}

function describeEffects(fx: PartitionEffects): string {
  let text = '';
  for (const [field, value] of Object.entries(fx)) {
    const items: readonly unknown[] = Array.isArray(value) ? value : value === undefined ? [] : [value];
    for (const item of items) text += `${field} ${bare(item)}\n`;
  }
  return text;
}

const describeReplica = (replica: PartitionReplica): string =>
  `${replica.role} log=${replica.logStart}..${replica.logEnd} durable=${replica.durableEnd} ` +
  `hw=${replica.highWatermark} ${describeMembers(replica)} parked=${replica.parkedCount}`;

/** The ELR, and the maximal ISR where it is more than the ISR, only when there is something to see. */
function describeMembers({ isr, elr, maximalIsr }: PartitionReplica): string {
  const eligible = elr.length > 0 ? ` elr=${elr.join(',')}` : '';
  const counted = maximalIsr.length > isr.length ? ` counted=${maximalIsr.join(',')}` : '';
  return `isr=${isr.join(',')}${eligible}${counted}`;
}

const bare = (value: unknown): string => JSON.stringify(value).replaceAll('"', '').replaceAll(',', ' ');
