/**
 * The controller's objects as an atomic controller would serve them: what `checkLinearizable` holds admin requests
 * against. One state machine for each object of a history (`AdminInvoked.object`).
 *
 * - `topic/NAME`: `create` → `created`, or `TOPIC_EXISTS`; `delete` → `deleted`, or `UNKNOWN_TOPIC`; `look` → `present`,
 *   or `absent`.
 *
 * `producer-ids` is no state machine: `allocate` → an id that nobody else was given; `allocate in an earlier life`, by a
 * broker that was registered anew before it asked, is answered with none.
 */
import type { Model } from './linearizability.ts';

export type TopicState = 'absent' | 'present';

interface Answer {
  readonly before: TopicState;
  readonly answer: string;
  readonly after: TopicState;
}

const answersTo: Readonly<Record<string, readonly Answer[]>> = {
  create: [
    { before: 'absent', answer: 'created', after: 'present' },
    { before: 'present', answer: 'TOPIC_EXISTS', after: 'present' },
  ],
  delete: [
    { before: 'present', answer: 'deleted', after: 'absent' },
    { before: 'absent', answer: 'UNKNOWN_TOPIC', after: 'absent' },
  ],
  look: [
    { before: 'present', answer: 'present', after: 'present' },
    { before: 'absent', answer: 'absent', after: 'absent' },
  ],
};

export const topicModel: Model<TopicState, string, string> = {
  initial: 'absent',
  step: (state, request, answer) => {
    const row = answersTo[request]?.find(({ before }) => before === state);
    if (row === undefined) return undefined;
    return answer === undefined || answer === row.answer ? row.after : undefined;
  },
  text: String,
};

/** Refusals that say what the state was: answers, where other errors say that nothing happened. */
export const isAnswer = (code: string): boolean => code === 'TOPIC_EXISTS' || code === 'UNKNOWN_TOPIC';
