import { createRequire } from 'node:module';

const { version: packaged } = createRequire(import.meta.url)('../package.json') as { readonly version: string };

export const version: string = packaged;
