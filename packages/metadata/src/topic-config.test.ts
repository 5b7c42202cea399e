import { describe, expect, test } from 'vitest';
import { expires, isCompacted, resolveTopicConfig, unlimited } from './topic-config.ts';

const dayMs = 24 * 3_600_000;

describe('retention of a topic', () => {
  test('is seven days and any size when nothing is said', () => {
    expect(resolveTopicConfig({}, 3)).toMatchObject({
      ok: true,
      config: { retentionMs: 7 * dayMs, retentionBytes: unlimited },
    });
  });

  test.each([
    [{ retentionMs: '-1' }, { retentionMs: unlimited }],
    [{ retentionMs: '1000' }, { retentionMs: 1000 }],
    [{ retentionMs: '3153600000000' }, { retentionMs: 100 * 365 * dayMs }],
    [{ retentionBytes: '-1' }, { retentionBytes: unlimited }],
    [{ retentionBytes: '1024' }, { retentionBytes: 1024 }],
  ])('%j is taken', (given, config) => {
    expect(resolveTopicConfig(given, 3)).toMatchObject({ ok: true, config });
  });

  test.each(['999', '0', '-2', '3153600000001', '7d', 'forever', '', ' -1', '1e6'])('%j is no retentionMs', (text) => {
    const resolved = resolveTopicConfig({ retentionMs: text }, 3);
    expect(resolved).toMatchObject({
      ok: false,
      error: {
        code: 'INVALID_CONFIG',
        message: `retentionMs is ${JSON.stringify(text)}; it must be an integer from 1000 to 3153600000000, or -1 for no limit`,
      },
    });
  });

  test('a key that must have a limit has one', () => {
    expect(resolveTopicConfig({ recordBytesMax: '-1' }, 3)).toMatchObject({
      ok: false,
      error: { message: 'recordBytesMax is "-1"; it must be an integer from 1024 to 8388608' },
    });
  });
});

describe('what becomes of old records', () => {
  test('they go by age and size when nothing is said', () => {
    expect(resolveTopicConfig({}, 3)).toMatchObject({
      config: { cleanupPolicy: 'delete', tombstoneRetentionMs: dayMs, compactionLagMsMin: 0 },
    });
  });

  test.each([
    ['delete', false, true],
    ['compact', true, false],
    ['compact,delete', true, true],
  ])('%s: compacted %s, expires %s', (cleanupPolicy, compacted, expiring) => {
    const resolved = resolveTopicConfig({ cleanupPolicy, tombstoneRetentionMs: '0', compactionLagMsMin: '7' }, 3);
    if (!resolved.ok) throw new Error(resolved.error.message);
    expect(resolved.config).toMatchObject({ cleanupPolicy, tombstoneRetentionMs: 0, compactionLagMsMin: 7 });
    expect([isCompacted(resolved.config), expires(resolved.config)]).toEqual([compacted, expiring]);
  });

  test('they give way to newer ones only where those are synced', () => {
    const refused = resolveTopicConfig({ cleanupPolicy: 'compact,delete', durability: 'replicated' }, 3);
    expect(refused).toMatchObject({ ok: false, error: { code: 'INVALID_CONFIG' } });
    expect(resolveTopicConfig({ cleanupPolicy: 'delete', durability: 'replicated' }, 3).ok).toBe(true);
  });

  test.each(['Compact', 'delete,compact', '', 'none'])('%j is no cleanupPolicy', (text) => {
    expect(resolveTopicConfig({ cleanupPolicy: text }, 3)).toMatchObject({
      error: {
        code: 'INVALID_CONFIG',
        message: `cleanupPolicy is ${JSON.stringify(text)}; it may be delete or compact or compact,delete`,
      },
    });
  });
});
