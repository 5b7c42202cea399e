import { expect, test } from 'vitest';
import { loadConfig } from './config/load.ts';
import { memoryShortage } from './memory-limit.ts';

const mebi = 1024 * 1024;
const voters = '[{nodeId: 1, peerAddress: "127.0.0.1:7651"}]';
const configOf = (...sets: string[]) =>
  loadConfig({ sets: ['nodeId=1', 'dataDirectory=/data', `cluster.voters=${voters}`, ...sets] });

test.each([
  ['no limit is known', 0, [], undefined],
  ['as cgroup v1 says that there is none', 2 ** 64, [], undefined],
  ['what compose.yaml gives', 1024 * mebi, [], undefined],
  ['just enough', 600 * mebi, [], undefined],
  ['too little for the defaults', 256 * mebi, [], 600 * mebi],
  ['enough but for a longer tail', 1024 * mebi, ['tailBytesMax=1GiB'], (600 - 64 + 1024) * mebi],
  ['the sizes of profile tiny', 480 * mebi, ['profile=tiny'], undefined],
] as const)('%s', (_name, limitBytes, sets, wantedBytes) => {
  const expected = wantedBytes === undefined ? undefined : { limitBytes, wantedBytes };
  expect(memoryShortage(limitBytes, configOf(...sets))).toEqual(expected);
});
