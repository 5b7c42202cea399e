/** What is not simulated ends the run that touches it, also when somebody catches that. */
import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { gzip } from 'node:zlib';
import { expect, test } from 'vitest';
import { Simulation } from './simulation.ts';

const touches: Readonly<Record<string, () => unknown>> = {
  'a timer': () => setTimeout(() => undefined, 0),
  'an immediate': () => setImmediate(() => undefined),
  'a signal that fires later': () => AbortSignal.timeout(0),
  'the wall clock': () => Date.now(),
  'a date of now': () => new Date(),
  'the monotonic clock': () => performance.now(),
  'the high-resolution clock': () => process.hrtime(),
  'the high-resolution clock as one number': () => process.hrtime.bigint(),
  chance: () => Math.random(),
  'cryptographic chance': () => randomBytes(1),
  'a random identity': () => crypto.randomUUID(),
  'a file': () => readFileSync('package.json'),
  'a socket': () => createServer(),
  'a thread that compresses': () => gzip('', () => undefined),
  'memory use': () => process.memoryUsage(),
  'resident memory': () => process.memoryUsage.rss(),
  'what the collector leaves': () => new WeakRef({}),
};

test.each(Object.entries(touches))('%s: from an event', async (_what, touch) => {
  const simulation = new Simulation(1);
  simulation.schedule(1, 'touch', touch);
  await expect(simulation.pass(1)).rejects.toThrow('within a simulated run');
});

test('from a promise reaction, and caught', async () => {
  const simulation = new Simulation(1);
  simulation.schedule(1, 'touch', () => {
    void Promise.resolve()
      .then(() => Math.random())
      .catch(() => undefined);
  });
  await expect(simulation.pass(1)).rejects.toThrow('Math.random was called within a simulated run');
});

test('outside events, and with a time that is given, all is as it was', async () => {
  const simulation = new Simulation(1);
  let year = 0;
  simulation.schedule(1, 'date', () => {
    year = new Date(0).getUTCFullYear();
  });
  await simulation.pass(1);
  expect(year).toBe(1970);
  expect(Math.random()).toBeLessThan(1);
  expect(Date.now()).toBeGreaterThan(0);
});
