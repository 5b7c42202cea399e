/** Producer, consumer and administration of a Sluice cluster. */
export * from './api.ts';
export type * from './consumer-options.ts';
export type * from './descriptions.ts';
export type * from './ports.ts';
export type * from './producer-options.ts';
export type * from './producer-record.ts';
export type * from './status.ts';
export { isSluiceError, SluiceError } from '@sluice/base';
