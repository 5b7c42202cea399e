/** How records look in JSON: text where it is valid UTF-8, else null beside the bytes in Base64. */
import { isUtf8 } from 'node:buffer';

export interface HeaderBytes {
  readonly key: string;
  readonly value: Uint8Array | null;
}

export interface ConsumedRecord {
  readonly topic: string;
  readonly partition: number;
  readonly offset: number;
  /** Milliseconds since the epoch. */
  readonly timestamp: number;
  readonly key: Uint8Array | null;
  readonly value: Uint8Array | null;
  readonly headers: readonly HeaderBytes[];
}

export function recordJson({ topic, partition, offset, timestamp, key, value, headers }: ConsumedRecord): object {
  return {
    topic,
    partition,
    offset,
    timestamp,
    ...encoded('key', key),
    ...encoded('value', value),
    headers: headers.map((header) => ({ key: header.key, ...encoded('value', header.value) })),
  };
}

function encoded(name: 'key' | 'value', bytes: Uint8Array | null): Readonly<Record<string, string | null>> {
  if (bytes === null) return { [name]: null };
  const view = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  // `toString` and not TextDecoder, which would drop a byte-order mark.
  if (isUtf8(view)) return { [name]: view.toString('utf8') };
  return { [name]: null, [`${name}Base64`]: view.toString('base64') };
}
