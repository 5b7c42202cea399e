/** One container alone: what it says when it cannot start, and how it ends as the first process of its container. */
import { randomUUID } from 'node:crypto';
import { afterEach, describe, expect, test } from 'vitest';
import { say } from '../container-suite.ts';
import { dockerEngine, NodeContainer } from '../node-container.ts';
import { parseLine } from '../node-figures.ts';

let open = new AsyncDisposableStack();
afterEach(async () => {
  await open.disposeAsync();
  open = new AsyncDisposableStack();
});

async function created(environment: Readonly<Record<string, string>>): Promise<NodeContainer> {
  const engine = await dockerEngine();
  const name = `sluice-e2e-${randomUUID().slice(0, 8)}`;
  return open.use(await NodeContainer.create({ engine, id: 1, name, environment }));
}

describe('a wrong setting: one line that says why, and exit code 1', () => {
  test.each([
    ['out of bounds', { SLUICE_SESSION_TIMEOUT_MS: '7ms' }, 'INVALID_CONFIG', /sessionTimeoutMs.*300/],
    ['that does not exist', { SLUICE_SESION_TIMEOUT_MS: '2s' }, 'INVALID_CONFIG', /SLUICE_SESION_TIMEOUT_MS/],
    ['not a number', { SLUICE_NODE_ID: 'one' }, 'INVALID_CONFIG', /nodeId/],
    ['no YAML', { SLUICE_CLUSTER_VOTERS: '[{' }, 'INVALID_CONFIG', /cluster\.voters/],
    ['impossible together', { SLUICE_SECURITY_INSECURE: 'false' }, 'INVALID_CONFIG', /security\.insecure/],
    ['a directory that it may not write to', { SLUICE_DATA_DIRECTORY: '/opt/data' }, 'INVALID_CONFIG', /\/opt\/data/],
    ['a directory beside the volume', { SLUICE_DATA_DIRECTORY: '/data/sluice' }, 'INVALID_CONFIG', /\/data\/sluice/],
  ])('%s', async (_what, environment, code, reason) => {
    const container = await created(environment);
    await container.start();
    expect(await container.ended()).toBe(1);
    const lines = (await container.log()).trimEnd().split('\n');
    expect(lines).toHaveLength(1);
    expect(parseLine(lines[0] ?? '')).toMatchObject({
      level: 'error',
      msg: 'node did not start',
      code: expect.stringMatching(code) as string,
      reason: expect.stringMatching(reason) as string,
    });
  });
});

describe('stopped while it starts, it ends at once', () => {
  /** Far less than the grace period of compose.yaml, 15 s: nobody waits for SIGKILL. */
  const stopMsMax = 4000;

  test('waiting for the other founders', async () => {
    const container = await created({});
    await container.start();
    await container.logged(/"node started"/);
    const { exitCode, afterMs } = await container.stop();
    say(`stopped while it waits for founders: ${Math.round(afterMs)} ms`);
    expect(exitCode).toBe(0);
    expect(afterMs).toBeLessThan(stopMsMax);
  });

  test('before it said anything', async () => {
    const container = await created({});
    await container.start();
    const { exitCode, afterMs } = await container.terminate();
    say(`stopped as soon as it handles signals: exit code ${exitCode} after ${Math.round(afterMs)} ms`);
    // By the handler of the first process, or by the node's own when that is there.
    expect([0, 143]).toContain(exitCode);
    expect(afterMs).toBeLessThan(stopMsMax);
  });
});
