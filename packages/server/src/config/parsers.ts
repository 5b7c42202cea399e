/** Parsers of configuration values. Each takes what YAML or text gives and throws `INVALID_CONFIG` with a sentence. */
import { parseAddress, parseBytes, parseDurationMs, SluiceError } from '@sluice/base';

export interface Parser<Value> {
  /** As the reference page prints it: `duration`, `list of …`. */
  readonly type: string;
  readonly unit?: 'ms' | 'bytes';
  readonly min?: number;
  readonly max?: number;
  /** True when text is read as YAML first, so that a list fits into an environment variable. */
  readonly structured?: true;
  /** `at` is the key, or the place inside it, for the message. */
  parse(raw: unknown, at: string): Value;
}

export type ParsedValue<P> = P extends Parser<infer Value> ? Value : never;

export function refuse(key: string, raw: unknown, allowed: string): never {
  const shown = shownValue(raw);
  throw new SluiceError('INVALID_CONFIG', {
    message: `${key} is ${shown}; it must be ${allowed}`,
    details: { key, value: shown, allowed },
  });
}

/** A caller's value in a message: cut, so that a long value does not become a long message. */
function shownValue(raw: unknown): string {
  if (raw === undefined || raw === null) return 'missing';
  const text = JSON.stringify(raw);
  return text.length > 120 ? `${text.slice(0, 120)}…` : text;
}

interface Bounds {
  readonly min: number;
  readonly max: number;
}

export function integer({ min, max }: Bounds): Parser<number> {
  const parse = (raw: unknown, at: string): number => {
    const value = wholeNumber(raw);
    if (value !== undefined && value >= min && value <= max) return value;
    return refuse(at, raw, `an integer from ${min} to ${max}`);
  };
  return { type: 'integer', min, max, parse };
}

export function duration({ min, max }: Bounds): Parser<number> {
  const parse = (raw: unknown, at: string): number => {
    const value = wholeNumber(raw) ?? (typeof raw === 'string' ? parseDurationMs(raw) : undefined);
    if (value !== undefined && value >= min && value <= max) return value;
    return refuse(at, raw, `a duration from ${min}ms to ${max}ms, such as 1500ms, 2s or a plain number of ms`);
  };
  return { type: 'duration', unit: 'ms', min, max, parse };
}

export function bytes({ min, max }: Bounds): Parser<number> {
  const parse = (raw: unknown, at: string): number => {
    const value = wholeNumber(raw) ?? (typeof raw === 'string' ? parseBytes(raw) : undefined);
    if (value !== undefined && value >= min && value <= max) return value;
    return refuse(at, raw, `a size from ${min}B to ${max}B, such as 64KiB, 4MiB or a plain number of bytes`);
  };
  return { type: 'size', unit: 'bytes', min, max, parse };
}

export const flag: Parser<boolean> = {
  type: 'boolean',
  parse(raw, at) {
    if (raw === true || raw === 'true') return true;
    if (raw === false || raw === 'false') return false;
    return refuse(at, raw, 'true or false');
  },
};

/** Text of 0 or 1 to `max` characters on one line. */
export function text({ min, max }: Bounds): Parser<string> {
  const parse = (raw: unknown, at: string): string => {
    const value = typeof raw === 'number' ? String(raw) : raw;
    if (typeof value === 'string' && value.length >= min && value.length <= max && !/\p{Cc}/u.test(value)) return value;
    return refuse(at, raw, `text of ${min} to ${max} characters on one line`);
  };
  return { type: 'text', parse };
}

export function choice<const Choice extends string>(choices: readonly Choice[]): Parser<Choice> {
  const parse = (raw: unknown, at: string): Choice =>
    choices.find((candidate) => candidate === raw) ?? refuse(at, raw, choices.join(' or '));
  return { type: choices.join(' or '), parse };
}

/** A size, or `auto`: the node finds one by itself. */
export function bytesOrAuto(bounds: Bounds): Parser<number | 'auto'> {
  const size = bytes(bounds);
  const parse = (raw: unknown, at: string): number | 'auto' => {
    if (raw === 'auto') return raw;
    // Text that is no size is told of both.
    const isText = typeof raw === 'string' && wholeNumber(raw) === undefined && parseBytes(raw) === undefined;
    return isText ? refuse(at, raw, 'auto, or a size such as 512MiB') : size.parse(raw, at);
  };
  return { ...size, type: `${size.type} or auto`, parse };
}

/** `host:port` with a port from 1. */
export const address: Parser<string> = {
  type: 'address',
  parse(raw, at) {
    const parsed = typeof raw === 'string' ? parseAddress(raw) : undefined;
    if (typeof raw === 'string' && parsed !== undefined && parsed.port > 0) return raw;
    return refuse(at, raw, 'host:port with a port from 1 to 65535, such as 127.0.0.1:7650 or [::1]:7650');
  },
};

/** An address, or empty text for "the same as another key". */
export const addressOrEmpty: Parser<string> = {
  type: 'address',
  parse: (raw, at) => (raw === '' ? '' : address.parse(raw, at)),
};

export function list<Value>(item: Parser<Value>, { min, max }: Bounds): Parser<readonly Value[]> {
  const parse = (raw: unknown, at: string): readonly Value[] => {
    if (!Array.isArray(raw) || raw.length < min || raw.length > max) {
      return refuse(at, raw, `a list of ${min} to ${max} items`);
    }
    return raw.map((element: unknown, index) => item.parse(element, `${at}[${index}]`));
  };
  return { type: `list of ${item.type}`, structured: true, min, max, parse };
}

interface Field {
  readonly parser: Parser<unknown>;
  /** Taken when the field is absent; without it the field is required. */
  readonly whenAbsent?: unknown;
}

type Shape<Fields extends Record<string, Field>> = {
  readonly [Key in keyof Fields]: ParsedValue<Fields[Key]['parser']>;
};

export function shape<Fields extends Record<string, Field>>(fields: Fields): Parser<Shape<Fields>> {
  const names = Object.keys(fields);
  const type = `{${names.join(', ')}}`;
  const parse = (raw: unknown, at: string): Shape<Fields> => {
    if (typeof raw !== 'object' || raw === null || Array.isArray(raw)) return refuse(at, raw, `an object ${type}`);
    const given: Readonly<Record<string, unknown>> = { ...raw };
    for (const name of Object.keys(given)) {
      if (!names.includes(name)) refuse(`${at}.${name}`, given[name], `one of the fields ${names.join(', ')}`);
    }
    const parsed = Object.entries(fields).map(([name, field]) => {
      const value = given[name] ?? field.whenAbsent;
      return [name, field.parser.parse(value, `${at}.${name}`)] as const;
    });
    return Object.fromEntries(parsed) as Shape<Fields>;
  };
  return { type, parse };
}

function wholeNumber(raw: unknown): number | undefined {
  if (typeof raw === 'number') return Number.isSafeInteger(raw) ? raw : undefined;
  return typeof raw === 'string' && /^\d{1,15}$/.test(raw) ? Number(raw) : undefined;
}
