import { spawn } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { isSluiceError } from '@sluice/base';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { DataDirectory } from './data-directory.ts';
import { diskConformance } from './disk-conformance.ts';
import { NodeDisk } from './node-disk.ts';

let directory: string;
beforeEach(() => {
  directory = fs.mkdtempSync(path.join(os.tmpdir(), 'sluice-disk-'));
});
afterEach(() => {
  fs.rmSync(directory, { recursive: true, force: true });
});

diskConformance('NodeDisk', async () => ({ disk: new NodeDisk(), directory, close: async () => undefined }));

/** A process that locks `target`, says so, and holds it until it is killed. */
function holder(target: string): ReturnType<typeof spawn> {
  const script = `
    import { NodeDisk } from ${JSON.stringify(new URL('./node-disk.ts', import.meta.url).href)};
    await new NodeDisk().lock(${JSON.stringify(target)});
    process.stdout.write('held');
    setInterval(() => undefined, 1000);
  `;
  return spawn(process.execPath, ['--input-type=module', '-e', script], { stdio: ['ignore', 'pipe', 'inherit'] });
}

test('a lock is held against another process, names it, and is free the moment that process is killed', async () => {
  // Longer than the 108 bytes that a socket path may have.
  const deep = `${directory}/${'a-long-directory-name/'.repeat(8)}`.replace(/\/$/, '');
  fs.mkdirSync(deep, { recursive: true });
  const child = holder(`${deep}/lock`);
  await once(child.stdout!, 'data');
  const refused = await new NodeDisk().lock(`${deep}/lock`).then(
    () => undefined,
    (error: unknown) => error,
  );
  expect(isSluiceError(refused) && refused.code).toBe('DIRECTORY_LOCKED');
  expect(isSluiceError(refused) && refused.message).toContain(`process ${child.pid}`);
  child.kill('SIGKILL');
  await once(child, 'exit');
  const lock = await new NodeDisk().lock(`${deep}/lock`);
  // Dead names are cleared away, the highest stays.
  expect(fs.readdirSync(deep)).toEqual(['lock-2']);
  await lock.release();
});

test('a stopped process still holds its lock', async () => {
  const child = holder(`${directory}/lock`);
  await once(child.stdout!, 'data');
  child.kill('SIGSTOP');
  const refused = await new NodeDisk().lock(`${directory}/lock`).then(
    () => undefined,
    (error: unknown) => error,
  );
  expect(isSluiceError(refused) && refused.code).toBe('DIRECTORY_LOCKED');
  child.kill('SIGKILL');
  await once(child, 'exit');
});

test('a place where nothing can be written is refused by its name, with what to do', async () => {
  const file = path.join(directory, 'file');
  fs.writeFileSync(file, '');
  const dangling = path.join(directory, 'dangling');
  fs.symlinkSync(path.join(directory, 'nowhere', 'below'), dangling);
  for (const place of [file, `${file}/below`, dangling]) {
    await expect(DataDirectory.open(new NodeDisk(), place)).rejects.toMatchObject({
      code: 'INVALID_CONFIG',
      message: expect.stringContaining(`The data directory ${place} cannot be written to (`) as string,
    });
  }
});
