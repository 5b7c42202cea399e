/**
 * How long a producer may go on with a batch, and hence how long a replica must know it (I6). What is forgotten earlier
 * could be sent again and appended twice.
 */

/** Most that a producer may set as `deliveryTimeoutMs`. */
export const deliveryTimeoutMsMax = 30 * 60_000;

/**
 * Who appended nothing for longer has no batch in doubt: none is younger than that, and its last request had as long
 * again to arrive.
 */
export const producerIdleMsMin = 2 * deliveryTimeoutMsMax;
