import { readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from '@jest/globals';
import { retentionOf, retentionTagKey } from '../../lib/dump-index/retention.ts';
import { retentionDayCounts } from '../../lib/policy/retention.ts';

const project = path.resolve(import.meta.dirname, '../..');
const capture = (retentionDays?: (typeof retentionDayCounts)[number]) => ({
  acquireTime: '2026-01-01T12:00:00.000Z',
  policy: retentionDays === undefined ? {} : { retentionDays },
});
const tag = (value: string) => ({ key: retentionTagKey, value });

describe('the retention of a capture', () => {
  it.each([
    [undefined, undefined, { days: 90, expireTime: '2026-04-02T00:00:00.000Z' }],
    [undefined, 7, { days: 7, expireTime: '2026-01-09T00:00:00.000Z', tag: tag('7d') }],
    [1, 7, { days: 1, expireTime: '2026-01-03T00:00:00.000Z', tag: tag('1d') }],
    [14, 7, { days: 14, expireTime: '2026-01-16T00:00:00.000Z', tag: tag('14d') }],
    [90, undefined, { days: 90, expireTime: '2026-04-02T00:00:00.000Z' }],
    [365, undefined, { days: 90, expireTime: '2026-04-02T00:00:00.000Z' }],
  ] as const)('of %s days in the policy and %s by default', (asked, defaultDays, wanted) => {
    const settings = defaultDays === undefined ? {} : { defaultDays };
    expect(retentionOf(capture(asked), { maxDays: 90, ...settings })).toEqual(wanted);
  });

  it('has a lifecycle rule of the bucket for each that can be asked for', () => {
    const template = readFileSync(path.join(project, 'infra/cloudformation/storage.yml'), 'utf8');
    const rules = [
      ...template.matchAll(
        /TagFilters: \[\{ Key: ([\w-]+), Value: (\w+) \}\]\s+ExpirationInDays: (\d+)/g,
      ),
    ].map(([, key, value, days]) => ({ key, value, days }));

    expect(rules).toEqual(
      retentionDayCounts.map((days) => ({
        key: retentionTagKey,
        value: `${days}d`,
        days: `${days}`,
      })),
    );
  });
});
