import { deliveryTimeoutMsMax } from '@sluice/record';
import { expect, test } from 'vitest';
import { producerSettings } from './producer-options.ts';

const noCompression = { compressor: () => undefined } as never;

test('no producer may go on with a batch for longer than the nodes know it (I6)', () => {
  const settingsOf = (deliveryTimeoutMs: number) => producerSettings({ deliveryTimeoutMs }, noCompression);
  expect(settingsOf(deliveryTimeoutMsMax).deliveryTimeoutMs).toBe(deliveryTimeoutMsMax);
  expect(() => settingsOf(deliveryTimeoutMsMax + 1)).toThrow('deliveryTimeoutMs must be at most 1800000');
});
