/**
 * `npm run -s golden`: writes the golden files of the format on the disk anew, after its version was raised; see
 * `packages/storage/src/golden.test.ts`. They are committed with the change of the format.
 */
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { frameVersion } from '../packages/storage/src/frame.ts';
import { readGolden, writeGolden } from '../packages/storage/src/golden.testing.ts';
import { MemoryDisk } from '../packages/storage/src/memory-disk.ts';

const all = new URL('../packages/storage/golden/', import.meta.url);
const directory = new URL(`v${frameVersion}/`, all);
const disk = new MemoryDisk();
await writeGolden(disk);
rmSync(all, { recursive: true, force: true });
mkdirSync(directory, { recursive: true });
for (const name of await disk.list('/node'))
  writeFileSync(new URL(name, directory), disk.durableBytes(`/node/${name}`));
writeFileSync(new URL('contents.json', directory), `${JSON.stringify(await readGolden(disk), undefined, 2)}\n`);
console.log(`written: ${directory.pathname}`);
