/**
 * Positions of followers that heard of a leader epoch before this replica did. Refused, they would come again only at
 * the follower's next tick, and until then nothing could be committed: so each waits, unanswered, for the metadata that
 * its follower had, and is judged in the step that brings it.
 *
 * P1 One for each replica, of its newest session; gone with the stream that carried it.
 * P2 Until it is judged it changes nothing else. What its follower acks meanwhile is dropped: it acks again when it is
 *    confirmed.
 */
import type { LeaderEpoch, NodeId } from '@sluice/base';
import type { FollowerGoneEvent, FollowerPositionEvent } from './events.ts';

export class EarlyPositions {
  readonly #kept = new Map<NodeId, FollowerPositionEvent>();

  keep(event: FollowerPositionEvent): void {
    this.#kept.set(event.replica, event);
  }

  /** P1: what the replica stated before `event` is void. False when it is `event` that is: it is the older one. */
  replace(event: FollowerPositionEvent): boolean {
    const kept = this.#kept.get(event.replica);
    if (kept !== undefined && isNewer(kept, event)) return false;
    this.#kept.delete(event.replica);
    return true;
  }

  forget({ replica, brokerEpoch, session }: FollowerGoneEvent): void {
    const kept = this.#kept.get(replica);
    if (kept?.session === session && kept.brokerEpoch === brokerEpoch) this.#kept.delete(replica);
  }

  /** Those of epochs up to this one, in the order in which they came. */
  take(upTo: LeaderEpoch): readonly FollowerPositionEvent[] {
    if (this.#kept.size === 0) return [];
    const ripe = [...this.#kept.values()].filter((event) => event.leaderEpoch <= upTo);
    for (const { replica } of ripe) this.#kept.delete(replica);
    return ripe;
  }
}

const isNewer = (one: FollowerPositionEvent, than: FollowerPositionEvent): boolean =>
  one.brokerEpoch > than.brokerEpoch || (one.brokerEpoch === than.brokerEpoch && one.session > than.session);
