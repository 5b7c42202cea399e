#!/usr/bin/env node
/** The `sluice` command: runs the package's `main` here when this Node can, else under the installed Node 24. */
import './first-process.mjs';
import module, { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';
import { compileCache, findNode, isNewEnough, launch } from './launch.mjs';

/** TypeScript in a checkout, JavaScript in an image: package.json says which. */
const main = createRequire(import.meta.url).resolve('@sluice/cli/main');

if (isNewEnough(process.versions.node)) {
  // For the nodes that it starts, too.
  process.env['NODE_COMPILE_CACHE'] ??= compileCache;
  module.enableCompileCache(process.env['NODE_COMPILE_CACHE']);
  await import(pathToFileURL(main).href);
} else {
  const node = findNode(import.meta.url);
  if (node === undefined) {
    process.stderr.write('sluice: nothing is installed in this checkout yet; run `npm start` or `npm test` once.\n');
    process.exitCode = 1;
  } else {
    launch({ node, script: main, args: process.argv.slice(2) });
  }
}
