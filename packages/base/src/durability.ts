/**
 * When a record of a topic counts as stored. `fsync`: synced on every in-sync replica before the ack. `replicated`: in
 * the memory of every in-sync replica; each syncs soon after, and acks no more from memory when its disk does not follow.
 */
export type Durability = 'fsync' | 'replicated';
