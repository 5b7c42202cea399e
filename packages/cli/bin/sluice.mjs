#!/usr/bin/env node
/** The `sluice` command: runs `src/main.ts` here when this Node can, else under the installed Node 24. */
import module from 'node:module';
import { fileURLToPath } from 'node:url';
import { compileCache, findNode, isNewEnough, launch } from './launch.mjs';

const main = new URL('../src/main.ts', import.meta.url);

if (isNewEnough(process.versions.node)) {
  // For the nodes that it starts, too.
  process.env['NODE_COMPILE_CACHE'] ??= compileCache;
  module.enableCompileCache(process.env['NODE_COMPILE_CACHE']);
  await import(main.href);
} else {
  const node = findNode(import.meta.url);
  if (node === undefined) {
    process.stderr.write('sluice: nothing is installed in this checkout yet; run `npm start` or `npm test` once.\n');
    process.exitCode = 1;
  } else {
    launch({ node, script: fileURLToPath(main), args: process.argv.slice(2) });
  }
}
