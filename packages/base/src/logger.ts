/** Variables of a log line; the phrase itself never varies (design §6). */
export type LogFields = Readonly<Record<string, unknown>>;

/**
 * Port: logs. Real: pino in `server`; in tests and `sim`: a list. `info` is a change of state that an operator cares
 * about, `warn` healed by itself, `error` needs a person, `debug` is for each request.
 */
export interface Logger {
  debug(phrase: string, fields?: LogFields): void;
  info(phrase: string, fields?: LogFields): void;
  warn(phrase: string, fields?: LogFields): void;
  error(phrase: string, fields?: LogFields): void;
  /** The same log with these fields on every line. */
  with(fields: LogFields): Logger;
}

export const silentLogger: Logger = {
  debug: () => undefined,
  info: () => undefined,
  warn: () => undefined,
  error: () => undefined,
  with: () => silentLogger,
};
