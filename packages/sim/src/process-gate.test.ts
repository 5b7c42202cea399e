/** What a process finds when it goes on. */
import { expect, test } from 'vitest';
import { ProcessGate } from './sim-clock.ts';
import { Simulation } from './simulation.ts';

test('after a pause all happens as it came, or messages first, one peer after the other', async () => {
  const orders = new Set<string>();
  const simulation = new Simulation(1);
  for (let at = 0; at < 40; at += 1) {
    const gate = new ProcessGate(simulation, `process ${at}`);
    const seen: string[] = [];
    gate.pause();
    gate.pass(() => seen.push('timer'));
    for (const [peer, what] of [
      ['one', 'a'],
      ['other', 'x'],
      ['one', 'b'],
    ] as const) {
      gate.passOrAtDeath(() => seen.push(what), peer);
    }
    gate.resume();
    await simulation.until('all of it', 1, () => seen.length === 4);
    orders.add(seen.join(' '));
  }
  expect([...orders].toSorted()).toEqual(['a b x timer', 'timer a x b', 'x a b timer']);
});
