import { spawnSync } from 'node:child_process';
import { describe, expect, test } from 'vitest';

const collector = new URL('./collector.ts', import.meta.url).href;

describe('the settings of V8', () => {
  test('are known to the Node that we install: it would only say so and go on', () => {
    const script = `const { tuneCollector } = await import(${JSON.stringify(collector)}); tuneCollector();`;
    const { status, stderr } = spawnSync(process.execPath, ['--input-type=module', '--eval', script], {
      encoding: 'utf8',
    });
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
  });
});
