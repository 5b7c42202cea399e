/** The reference pages as text, made from the tables that the code itself uses. */
import { type ErrorRow, errorTable, type RetryClass } from '@sluice/base';

const retryWords: Readonly<Record<RetryClass, string>> = {
  never: 'no: the same request fails again',
  same: 'yes, at once',
  'refresh-metadata': 'yes, after asking who leads',
  backoff: 'yes, after a pause',
};

const escapeCell = (text: string): string => text.replaceAll('|', '\\|');

const tableRow = (cells: readonly string[]): string => `| ${cells.map(escapeCell).join(' | ')} |`;

export function errorsPage(table: Readonly<Record<string, ErrorRow>> = errorTable): string {
  const rows = Object.entries(table).map(([code, row]) =>
    tableRow([`\`${code}\``, row.sentence, retryWords[row.retry], row.definite ? 'yes' : 'no', `\`${row.status}\``]),
  );
  return [
    '# Errors',
    '',
    'Every error that a caller meets is a `SluiceError` with one of these codes; branch on `code`, never on the message,',
    'which says what happened in the case at hand. *Definite* means that the request had no effect; after an error that is',
    'not definite it may or may not have happened, and only an idempotent producer may simply send it again.',
    '',
    'Made from the table in `packages/base/src/errors.ts` by `npm run -s reference`.',
    '',
    '| code | meaning and what to do | retry | definite | gRPC status |',
    '|---|---|---|---|---|',
    ...rows,
    '',
  ].join('\n');
}

/** Page by path from the root. */
export const referencePages: Readonly<Record<string, string>> = {
  'docs/reference/errors.md': errorsPage(),
};
