/**
 * `node scripts/run.mjs SCRIPT ARGS…`: installs what is missing, then runs the script under the installed Node 24.
 * Plain JavaScript for Node >= 20: it is the first thing that runs in a fresh clone.
 */
import path from 'node:path';
import { launch } from '../packages/cli/bin/launch.mjs';
import { install, root } from './install.mjs';

const [script, ...args] = process.argv.slice(2);
if (script === undefined) {
  process.stderr.write('usage: node scripts/run.mjs SCRIPT [ARGS]\n');
  process.exitCode = 2;
} else {
  const node = await install();
  if (node === undefined) {
    process.exitCode = 1;
  } else {
    const bin = path.join(root, 'node_modules', '.bin');
    const env = { ...process.env, PATH: `${bin}${path.delimiter}${process.env['PATH'] ?? ''}` };
    launch({ node, script: path.resolve(script), args, env });
  }
}
