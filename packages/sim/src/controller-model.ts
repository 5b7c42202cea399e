/**
 * The controller's objects as an atomic controller would serve them: what `checkLinearizable` holds admin requests
 * against. One state machine for each object of a history (`AdminInvoked.object`).
 *
 * - `topic/NAME`: `create` → `created`, or `TOPIC_EXISTS`; `delete` → `deleted`, or `UNKNOWN_TOPIC`; `describe` →
 *   `present` or `absent`.
 * - `producer-ids`: `allocate` → the first of a block of ids; blocks follow each other, unknown ones included.
 */
import type { Model } from './linearizability.ts';

/** For topics whether there is one; for producer ids the highest first id that is taken, −1 before the first. */
export type ControllerState = number;

const absent = 0;
const present = 1;

const answerOf: Readonly<Record<string, readonly { before: number; answer: string; after: number }[]>> = {
  create: [
    { before: absent, answer: 'created', after: present },
    { before: present, answer: 'TOPIC_EXISTS', after: present },
  ],
  delete: [
    { before: present, answer: 'deleted', after: absent },
    { before: absent, answer: 'UNKNOWN_TOPIC', after: absent },
  ],
  describe: [
    { before: absent, answer: 'absent', after: absent },
    { before: present, answer: 'present', after: present },
  ],
};

const topicModel: Model<ControllerState, string, string> = {
  initial: absent,
  step: (state, request, answer) => {
    const row = answerOf[request]?.find(({ before }) => before === state);
    if (row === undefined) return undefined;
    return answer === undefined || answer === row.answer ? row.after : undefined;
  },
  text: String,
};

/** Ids only grow. How many a lost allocation took is not known, so a gap is allowed; a block twice or backwards is not. */
const producerIdsModel: Model<ControllerState, string, string> = {
  initial: -1,
  step: (state, request, answer) => {
    if (request !== 'allocate') return undefined;
    if (answer === undefined) return state;
    const first = Number(answer);
    return Number.isInteger(first) && first > state ? first : undefined;
  },
  text: String,
};

/** Undefined: no model of such an object. */
export function modelOf(object: string): Model<ControllerState, string, string> | undefined {
  if (object === 'producer-ids') return producerIdsModel;
  return object.startsWith('topic/') ? topicModel : undefined;
}

/** Refusals that say what the state was: answers, where other errors say that nothing happened. */
export const isAnswer = (code: string): boolean => code === 'TOPIC_EXISTS' || code === 'UNKNOWN_TOPIC';
