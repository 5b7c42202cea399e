/** The controller's answers are those of an atomic one, object by object. Part of `check-history`. */
import { anomaly } from './anomaly.ts';
import type { Anomaly } from './anomaly.ts';
import { isAnswer, topicModel } from './controller-model.ts';
import type { Happened, HistoryBook } from './history-book.ts';
import type { AdminInvoked, HistoryLine } from './history.ts';
import { checkLinearizable } from './linearizability.ts';
import type { Operation } from './linearizability.ts';

export function controllerAnomalies(book: HistoryBook): {
  readonly anomalies: readonly Anomaly[];
  readonly undecided: readonly string[];
} {
  const anomalies: Anomaly[] = [];
  const undecided: string[] = [];
  for (const [object, admins] of book.admins) {
    if (object === 'producer-ids') {
      anomalies.push(...givenTwice(admins), ...givenToEarlierLives(admins));
      continue;
    }
    if (!object.startsWith('topic/')) {
      const lines = admins.map(({ line }) => line);
      anomalies.push(anomaly('malformed-history', `there is no model of ${object}`, lines));
      continue;
    }
    const judged = admins.filter(hadEffectPerhaps);
    const result = checkLinearizable(topicModel, judged.map(operationOf));
    if (result.outcome === 'unknown') undecided.push(`the search for an order of ${object} was given up`);
    if (result.outcome !== 'not-linearizable') continue;
    const lines = result.stuck.flatMap((index) => linesOf(judged[index]));
    anomalies.push(anomaly('not-linearizable', `no atomic ${object} could have answered so`, lines));
  }
  return { anomalies, undecided };
}

function givenTwice(admins: readonly Happened<AdminInvoked>[]): readonly Anomaly[] {
  const firstOf = new Map<string, Happened<AdminInvoked>>();
  const found: Anomaly[] = [];
  for (const admin of admins) {
    const { outcome } = admin;
    if (outcome?.line.event !== 'ok') continue;
    const id = outcome.line.answer ?? '';
    const first = firstOf.get(id);
    if (first === undefined) firstOf.set(id, admin);
    else found.push(anomaly('duplicate', `producer id ${id} was given twice`, [...linesOf(first), ...linesOf(admin)]));
  }
  return found;
}

function givenToEarlierLives(admins: readonly Happened<AdminInvoked>[]): readonly Anomaly[] {
  return admins
    .filter(({ line, outcome }) => line.request === 'allocate in an earlier life' && outcome?.line.event === 'ok')
    .map((admin) =>
      anomaly('earlier-life', 'a broker that was registered anew was given an id by its old epoch', linesOf(admin)),
    );
}

/** An error that is no answer says that nothing happened. */
const hadEffectPerhaps = ({ outcome }: Happened<AdminInvoked>): boolean =>
  outcome?.line.event !== 'fail' || isAnswer(outcome.line.code);

/** Times are positions in the history: finer than milliseconds. */
function operationOf({ line, at, outcome }: Happened<AdminInvoked>): Operation<string, string> {
  const { request } = line;
  if (outcome === undefined || outcome.line.event === 'info') {
    return { request, answer: undefined, calledAt: at, returnedAt: Number.POSITIVE_INFINITY };
  }
  const answer = outcome.line.event === 'ok' ? (outcome.line.answer ?? '') : outcome.line.code;
  return { request, answer, calledAt: at, returnedAt: outcome.at };
}

const linesOf = (happened: Happened<AdminInvoked> | undefined): readonly HistoryLine[] =>
  happened === undefined ? [] : [happened.line, ...(happened.outcome === undefined ? [] : [happened.outcome.line])];
