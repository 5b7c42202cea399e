/** Producer, consumer and administration of a Sluice cluster. */
export { Admin, type AdminCallOptions, type ListOffsetsOptions } from './admin.ts';
export type * from './consumer-options.ts';
export { Consumer } from './consumer.ts';
export type { Deliveries, DeliveryRange } from './deliveries.ts';
export type * from './descriptions.ts';
export type { ConsumedBatch, ConsumedRecord } from './fetched-batch.ts';
export type * from './ports.ts';
export type { PreferredElectionProgress } from './preferred-election.ts';
export { type AcksName, producerDefaults, type ProducerOptions } from './producer-options.ts';
export type * from './producer-record.ts';
export { Producer } from './producer.ts';
export { Sluice, type SluiceOptions } from './sluice.ts';
export type { PartitionTrimRequest, TrimOutcome } from './trimming.ts';
export type * from './status.ts';
export { isSluiceError, SluiceError } from '@sluice/base';
