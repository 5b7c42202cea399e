/** Adapter: the `Logger` port over pino, JSON lines. */
import type { LogFields, Logger } from '@sluice/base';
import { pino } from 'pino';
import type { DestinationStream, Logger as Pino } from 'pino';

export type LogLevel = 'debug' | 'info' | 'warn' | 'error';

export interface PinoLoggerOptions {
  readonly level: LogLevel;
  /** On every line. */
  readonly fields?: LogFields;
  /** Standard output when absent, written synchronously: the last line before an exit must not be lost. */
  readonly destination?: DestinationStream;
}

export function pinoLogger({ level, fields = {}, destination }: PinoLoggerOptions): Logger {
  const options = {
    level,
    base: fields,
    timestamp: pino.stdTimeFunctions.isoTime,
    formatters: { level: (label: string) => ({ level: label }) },
  };
  return adapt(pino(options, destination ?? pino.destination({ dest: 1, sync: true })));
}

function adapt(log: Pino): Logger {
  return {
    debug: (phrase, fields = {}) => log.debug(fields, phrase),
    info: (phrase, fields = {}) => log.info(fields, phrase),
    warn: (phrase, fields = {}) => log.warn(fields, phrase),
    error: (phrase, fields = {}) => log.error(fields, phrase),
    with: (fields) => adapt(log.child(fields)),
  };
}
