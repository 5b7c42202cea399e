import { logIndex, term } from '@sluice/base';
import { expect, test } from 'vitest';
import { defaultRaftConfig } from './config.ts';
import { entriesMax, LogView } from './log-view.ts';

test.each([1, 63, 64, 200, defaultRaftConfig.appendBytesMax])(
  'no append of %i bytes carries more entries than are allowed to arrive',
  (bytesMax) => {
    const most = entriesMax(bytesMax);
    const payload = new Uint8Array();
    const entries = Array.from({ length: most + 2 }, (_, at) => {
      return { index: logIndex(at + 1), term: term(1), kind: 'command' as const, payload };
    });
    expect(new LogView(undefined, entries).prefix(logIndex(1), bytesMax).entries.length).toBe(most);
  },
);
