/** Adapter: the hash by which compaction tells keys apart. */
import { hash } from 'node:crypto';

/** SHA-256: two keys of one hash, of which one would go for the other, cannot be made on purpose. */
export const keyHash = (key: Uint8Array): Uint8Array => hash('sha256', key, 'buffer');
