/**
 * Ids of logs as a table holds them: of a topic the first time all 16 bytes, afterwards its number in the table, for the
 * logs of a table are mostly of few topics.
 */
import {
  type ByteReader,
  type ByteWriter,
  isIdentity,
  type LogId,
  LogKind,
  partitionIndex,
  type TopicId,
  topicId,
} from '@sluice/base';

const logKinds = Object.values(LogKind);
/** In place of a number, which are from 1. */
const newTopic = 0;

/** Of one table. */
export class LogIdWriter {
  readonly #writer: ByteWriter;
  readonly #numbers = new Map<string, number>();
  /** Logs of a topic mostly follow each other. */
  #last = '';
  #lastNumber = 0;

  constructor(writer: ByteWriter) {
    this.#writer = writer;
  }

  write({ topicId: topic, partition, kind }: LogId): void {
    const writer = this.#writer;
    if (topic === this.#last) writer.integer(this.#lastNumber);
    else this.#topic(topic);
    writer.integer(partition);
    writer.u8(kind);
  }

  #topic(topic: string): void {
    const known = this.#numbers.get(topic);
    this.#last = topic;
    this.#lastNumber = known ?? this.#numbers.size + 1;
    this.#writer.integer(known ?? newTopic);
    if (known !== undefined) return;
    this.#numbers.set(topic, this.#lastNumber);
    for (const word of wordsOf(topic)) this.#writer.u32(word);
  }
}

/** Of the same table. */
export class LogIdReader {
  readonly #reader: ByteReader;
  readonly #topics: TopicId[] = [];

  constructor(reader: ByteReader) {
    this.#reader = reader;
  }

  /** Means nothing when the reader has failed. */
  read(): LogId {
    const reader = this.#reader;
    const topic = this.#topic(reader.count());
    const partition = reader.count();
    const kind = reader.u8();
    const known = logKinds.find((value) => value === kind);
    if (reader.failed || topic === undefined || partition > 0x7fff_ffff || known === undefined) {
      reader.fail();
      return { topicId: topicId('0'.repeat(32)), partition: partitionIndex(0), kind: LogKind.data };
    }
    return { topicId: topic, partition: partitionIndex(partition), kind: known };
  }

  #topic(number: number): TopicId | undefined {
    if (number !== newTopic) return this.#topics[number - 1];
    const text = readTopic(this.#reader);
    if (this.#reader.failed || !isIdentity(text)) return undefined;
    const topic = topicId(text);
    this.#topics.push(topic);
    return topic;
  }
}

function readTopic(reader: ByteReader): string {
  const digits = [0, 1, 2, 3].map(() => reader.u32().toString(16).padStart(8, '0'));
  // In one piece: a text that is put together from parts keeps them.
  return Array.from(digits.join('')).join('');
}

type Words = readonly [number, number, number, number];

/** Of busy topics, for one table after the other; emptied when it is full. */
const wordsWritten = new Map<string, Words>();
const wordsMax = 1024;

function wordsOf(topic: string): Words {
  let words = wordsWritten.get(topic);
  if (words === undefined) {
    const word = (at: number): number => Number.parseInt(topic.slice(at * 8, at * 8 + 8), 16);
    words = [word(0), word(1), word(2), word(3)];
    if (wordsWritten.size >= wordsMax) wordsWritten.clear();
    wordsWritten.set(topic, words);
  }
  return words;
}
