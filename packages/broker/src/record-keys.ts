/**
 * What a compacted topic asks of a batch beyond what every topic does: its records decode, and each has a key. One for
 * all produce streams; owns the batches that are open.
 *
 * K1. Records are opened on a thread where the codec can be, and looked at in slices: no batch holds up the event loop.
 * K2. At most `opensMax` batches are open at a time, of `openedBytesMax` each; the others wait in order.
 */
import { laterTurn, SluiceError } from '@sluice/base';
import type { Clock } from '@sluice/base';
import { batchError, readRecords, readRecordsLater } from '@sluice/record';
import type { BatchHeader, Compression, RecordReader, Result } from '@sluice/record';

export interface RecordKeysPorts {
  readonly compression: Compression;
  readonly clock: Clock;
}

/** What the records of one batch may decompress to. */
const openedBytesMax = 16 * 1024 * 1024;
const opensMax = 4;
/** Looked at in one turn of the event loop: about a millisecond. */
const recordsPerTurn = 4096;

export class RecordKeys {
  readonly #ports: RecordKeysPorts;
  readonly #waiting: (() => void)[] = [];
  #opens = 0;

  constructor(ports: RecordKeysPorts) {
    this.#ports = ports;
  }

  /** What is wrong with it; at once when it is neither compressed nor large. The batch was checked as every batch is. */
  problemOf(batch: Uint8Array, header: BatchHeader): SluiceError | undefined | Promise<SluiceError | undefined> {
    // One more than the last record is asked for: it tells of bytes that are left over.
    if (header.codec !== 'none' || header.recordCount >= recordsPerTurn) return this.#open(batch, header);
    const opened = readRecords(batch);
    return opened.ok ? nextProblem(opened.value, 0) : batchError(opened.problem);
  }

  async #open(batch: Uint8Array, header: BatchHeader): Promise<SluiceError | undefined> {
    if (this.#opens >= opensMax) await new Promise<void>((resolve) => void this.#waiting.push(resolve));
    else this.#opens += 1;
    try {
      const { compression, clock } = this.#ports;
      return await lookThrough(await readRecordsLater(batch, header, compression, openedBytesMax), clock);
    } finally {
      // Whoever waits for longest takes the place over.
      const next = this.#waiting.shift();
      if (next === undefined) this.#opens -= 1;
      else next();
    }
  }
}

async function lookThrough(opened: Result<RecordReader>, clock: Clock): Promise<SluiceError | undefined> {
  if (!opened.ok) return batchError(opened.problem);
  const reader = opened.value;
  for (let from = 0; ; from += recordsPerTurn) {
    const problem = nextProblem(reader, from);
    if (problem !== undefined || reader.isDone) return problem;
    await laterTurn(clock);
  }
}

function nextProblem(reader: RecordReader, from: number): SluiceError | undefined {
  for (let index = from; index < from + recordsPerTurn; index += 1) {
    const record = reader.next();
    if (record === undefined) return reader.problem === undefined ? undefined : batchError(reader.problem);
    if (record.key === null) {
      const message = `Record ${index} of the batch has no key, and the topic is compacted. Nothing of the batch was stored.`;
      return new SluiceError('INVALID_RECORD', { message, details: { record: index } });
    }
  }
  return undefined;
}
