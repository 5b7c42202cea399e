import { afterEach, expect, test } from 'vitest';
import { SimClock } from './sim-clock.ts';
import { Simulation } from './simulation.ts';

let simulation = new Simulation(1);
afterEach(() => {
  simulation = new Simulation(1);
});

test('Z4: what an event defers runs at its moment, before the event is looked at and the next one is taken', async () => {
  const happened: string[] = [];
  const clock = new SimClock(simulation, 'node1');
  const say = (what: string): void => void happened.push(`${what} at ${simulation.nowMs}`);
  simulation.afterEvent = () => say('looked');
  simulation.schedule(1000, 'first', () => {
    clock.defer(() => {
      say('deferred');
      void Promise.resolve().then(() => say('its promise'));
      clock.defer(() => say('deferred by it'));
    });
    clock.defer(() => say('deferred second'));
    void Promise.resolve().then(() => say('promise'));
    say('first');
  });
  simulation.schedule(1000, 'second', () => say('second'));
  await simulation.pass(2);
  expect(happened.slice(0, 8)).toEqual([
    'first at 1',
    'promise at 1',
    'deferred at 1',
    'its promise at 1',
    'deferred second at 1',
    'deferred by it at 1',
    'looked at 1',
    'second at 1',
  ]);
});

test('Z4: what defers without end is found out', async () => {
  const again = (): void => simulation.defer(again);
  simulation.schedule(1000, 'endless', again);
  await expect(simulation.pass(2)).rejects.toThrow('time stands still at 1 ms');
});

test('a run that is ended from within an event leaves nothing armed', async () => {
  simulation.schedule(1000, 'ends it', () => simulation.fail(new Error('enough')));
  await expect(simulation.pass(2)).rejects.toThrow('enough');
  expect(() => performance.now()).not.toThrow();
});
