/** `--format`: what of a record is printed, and what between. A null key or value prints nothing. */
import { recordJson } from './record-json.ts';
import type { ConsumedRecord } from './record-json.ts';

/** The bytes to print for one record, in order. */
export type RecordFormat = (record: ConsumedRecord) => readonly Uint8Array[];

const newline = Uint8Array.of(0x0a);
const nothing = new Uint8Array(0);

const text = (value: string | number): Uint8Array => Buffer.from(String(value));

const fields: Readonly<Record<string, (record: ConsumedRecord) => Uint8Array>> = {
  t: (record) => text(record.topic),
  p: (record) => text(record.partition),
  o: (record) => text(record.offset),
  d: (record) => text(record.timestamp),
  k: (record) => record.key ?? nothing,
  v: (record) => record.value ?? nothing,
  j: (record) => text(JSON.stringify(recordJson(record))),
  '%': () => text('%'),
};

const escapes: Readonly<Record<string, string>> = { n: '\n', t: '\t', r: '\r', '0': '\0', '\\': '\\' };

export const recordFormatGrammar =
  '%t topic, %p partition, %o offset, %d timestamp in ms, %k key, %v value, %j the whole as JSON, %% a percent sign, and \\n \\t \\r \\0 \\\\';

/** Undefined when the text has an unknown field or escape. */
export function parseRecordFormat(format: string): RecordFormat | undefined {
  const parts: ((record: ConsumedRecord) => Uint8Array)[] = [];
  for (const [whole, field, escape] of format.matchAll(/%([\s\S]?)|\\([\s\S]?)|[^%\\]+/g)) {
    const read = field === undefined ? undefined : fields[field];
    const literal = escape === undefined ? whole : escapes[escape];
    if (read !== undefined) parts.push(read);
    else if (field === undefined && literal !== undefined) {
      const bytes = text(literal);
      parts.push(() => bytes);
    } else return undefined;
  }
  return (record) => parts.map((part) => part(record));
}

/** Without `--format` or `--json`: the value and a newline; nothing for a null value. */
export const valueLine: RecordFormat = ({ value }) => (value === null ? [] : [value, newline]);

export const jsonLine: RecordFormat = (record) => [text(`${JSON.stringify(recordJson(record))}\n`)];
