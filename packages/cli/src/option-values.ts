/** Parsers of option values. What they throw is wrong usage: commander prints it and the exit code is 2. */
import { parseAddress, parseBytes, parseDurationMs } from '@sluice/base';
import { InvalidArgumentError } from 'commander';
import { offsetGrammar, parseOffsetSpec } from './offset-spec.ts';
import type { OffsetSpec } from './offset-spec.ts';
import { parseRecordFormat, recordFormatGrammar } from './record-format.ts';
import type { RecordFormat } from './record-format.ts';

type OptionParser<Value> = (text: string) => Value;

export const wholeNumber =
  (min: number, max: number): OptionParser<number> =>
  (text) => {
    const value = /^\d{1,15}$/.test(text) ? Number(text) : Number.NaN;
    if (value >= min && value <= max) return value;
    throw new InvalidArgumentError(`It must be an integer from ${min} to ${max}.`);
  };

export const positiveNumber: OptionParser<number> = (text) => {
  const value = /^\d{1,12}(?:\.\d{1,6})?$/.test(text) ? Number(text) : Number.NaN;
  if (value > 0) return value;
  throw new InvalidArgumentError('It must be a number greater than 0.');
};

export const durationMs: OptionParser<number> = (text) => {
  const value = parseDurationMs(text);
  if (value !== undefined && value > 0) return value;
  throw new InvalidArgumentError('It must be a duration with a unit, such as 500ms, 30s or 2m.');
};

export const recordFormat: OptionParser<RecordFormat> = (text) => {
  const format = parseRecordFormat(text);
  if (format !== undefined) return format;
  throw new InvalidArgumentError(`It may hold ${recordFormatGrammar}.`);
};

export const sizeBytes: OptionParser<number> = (text) => {
  const value = /^\d{1,15}$/.test(text) ? Number(text) : parseBytes(text);
  if (value !== undefined && value > 0) return value;
  throw new InvalidArgumentError('It must be a size, such as 16384, 128KiB or 1MiB.');
};

export const bootstrapList: OptionParser<readonly string[]> = (text) => {
  const addresses = text.split(',').map((part) => part.trim());
  for (const address of addresses) {
    const parsed = parseAddress(address);
    if (parsed === undefined || parsed.port === 0) {
      throw new InvalidArgumentError(`${JSON.stringify(address)} is not HOST:PORT; separate several by commas.`);
    }
  }
  return addresses;
};

export const offsetSpec: OptionParser<OffsetSpec> = (text) => {
  const spec = parseOffsetSpec(text);
  if (spec !== undefined) return spec;
  throw new InvalidArgumentError(`It must be ${offsetGrammar}.`);
};

export const nodeNumber: OptionParser<number> = wholeNumber(1, 0x7fff_ffff);

export const directoryIdText: OptionParser<string> = (text) => {
  if (/^[0-9a-f]{32}$/.test(text)) return text;
  throw new InvalidArgumentError('It must be a directory id, 32 hex digits, as sluice node list shows it.');
};

export const offsetOrEnd: OptionParser<number | 'end'> = (text) => {
  if (text === 'end') return text;
  const value = /^\d{1,15}$/.test(text) ? Number(text) : undefined;
  if (value !== undefined) return value;
  throw new InvalidArgumentError('It must be an offset, an integer from 0, or end.');
};

export type Pair = readonly [key: string, value: string];

/** Repeatable `key=value`. */
export const pairs = (text: string, before: readonly Pair[]): readonly Pair[] => {
  const at = text.indexOf('=');
  if (at > 0) return [...before, [text.slice(0, at), text.slice(at + 1)]];
  throw new InvalidArgumentError('It must be key=value.');
};

/** Repeatable text. */
export const texts = (text: string, before: readonly string[]): readonly string[] => [...before, text];
