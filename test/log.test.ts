import { describe, expect, it } from '@jest/globals';
import { CaptureError } from '../lib/errors.ts';
import { createLogger } from '../lib/log.ts';

function lines(): { written: Record<string, unknown>[]; log: ReturnType<typeof createLogger> } {
  const written: Record<string, unknown>[] = [];
  const log = createLogger('agent', {
    now: () => new Date('2026-01-02T03:04:05Z'),
    write: (line) => {
      expect(line.endsWith('\n')).toBe(true);
      expect(line.trimEnd()).not.toContain('\n');
      written.push(JSON.parse(line) as Record<string, unknown>);
    },
  });
  return { written, log };
}

describe('log', () => {
  it('writes one JSON object a line, with the fields of the logger and of the call', () => {
    const { written, log } = lines();
    log.with({ captureId: 'abc' }).info('dump stored', { rawBytes: 2 ** 40, big: 5n });
    expect(written).toEqual([
      {
        time: '2026-01-02T03:04:05.000Z',
        level: 'info',
        component: 'agent',
        message: 'dump stored',
        captureId: 'abc',
        rawBytes: 2 ** 40,
        big: '5',
      },
    ]);
  });

  it('cuts the query off every URL, wherever it stands', () => {
    const { written, log } = lines();
    const url = 'https://bucket.example/key?X-Amz-Signature=secret&X-Amz-Expires=9';
    log.warn(`PUT ${url} failed`, {
      url,
      nested: { list: [url] },
      error: new CaptureError('UploadFailed', `PUT ${url}`),
    });
    expect(JSON.stringify(written)).not.toContain('secret');
    expect(written[0]).toMatchObject({
      message: 'PUT https://bucket.example/key?… failed',
      error: { code: 'UploadFailed' },
    });
  });

  it('lets no field take the place of time, level, component or message', () => {
    const { written, log } = lines();
    log.error('decision', { message: 'another', level: 'info', time: 'never', component: 'x' });
    expect(written[0]).toMatchObject({ message: 'decision', level: 'error', component: 'agent' });
  });
});
