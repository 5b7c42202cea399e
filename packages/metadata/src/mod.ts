export * from './image.ts';
export type { Failed, MetadataError } from './metadata-error.ts';
export * from './records.ts';
export * from './requests.ts';
export * from './topic-config.ts';
