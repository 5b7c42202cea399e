export interface KeyedValue {
  readonly key: Uint8Array | null;
  readonly value: Uint8Array;
}

/** The bytes before the first separator are the key; a line without one has none. */
export function splitKey(line: Uint8Array, separator: Buffer | undefined): KeyedValue {
  if (separator === undefined || separator.length === 0) return { key: null, value: line };
  const view = Buffer.from(line.buffer, line.byteOffset, line.byteLength);
  const at = view.indexOf(separator);
  if (at === -1) return { key: null, value: line };
  return { key: line.subarray(0, at), value: line.subarray(at + separator.length) };
}
