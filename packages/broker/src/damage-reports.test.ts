/** What the controller is told of a damaged log. */
import { brokerEpoch, topicId } from '@sluice/base';
import { ManualClock } from '@sluice/wire';
import { expect, test } from 'vitest';
import { DamageReports } from './damage-reports.ts';

test('a log that is not loaded serves nothing, and the report says so: its replica leaves though nobody else can lead (E6)', async () => {
  const clock = new ManualClock();
  const asked: boolean[] = [];
  const link = {
    epoch: brokerEpoch(7),
    call: (_method: unknown, request: { readonly serves: boolean }) => {
      asked.push(request.serves);
      return Promise.resolve(request.serves ? { stays: true, since: 0 } : { stays: false, since: 9 });
    },
  };
  const reports = new DamageReports({} as never, link as never, clock);
  const answers: (number | undefined)[] = [];
  const host = (replica: object | undefined) => ({
    id: { topicId: topicId('a'.repeat(32)), partition: 0 },
    replica,
    damageReported: (since: number | undefined) => void answers.push(since),
  });
  reports.report(host(undefined) as never);
  reports.report(host({}) as never);
  await clock.until('both are answered', () => answers.length === 2);
  expect([asked, answers]).toEqual([
    [false, true],
    [9, undefined],
  ]);
});
