import type { RecordOwner } from './pending-batch.ts';
import type { ProducerRecord } from './producer-record.ts';

const noRecord: ProducerRecord = { value: null };

/**
 * A record on its way to its partition's queue. One is used again for record after record; what has to wait is a copy.
 */
export class Entry {
  topic = '';
  record = noRecord;
  timestamp = 0;
  /** Bytes of the producer's buffer. */
  bytes = 0;
  deadlineMs = 0;
  /** When it was handed over, for those without a timestamp. */
  wallMs = 0;
  generation = 0;
  owner: RecordOwner = undefined;
  /** Its place in the call of its owner. */
  index = 0;
  /** Which measurement its bytes are from: while it is the last one the draft is of this record. */
  measured = 0;

  copy(): Entry {
    const copy = new Entry();
    copy.topic = this.topic;
    copy.record = this.record;
    copy.timestamp = this.timestamp;
    copy.bytes = this.bytes;
    copy.deadlineMs = this.deadlineMs;
    copy.wallMs = this.wallMs;
    copy.generation = this.generation;
    copy.owner = this.owner;
    copy.index = this.index;
    copy.measured = this.measured;
    return copy;
  }
}
