import { describe, expect, it } from '@jest/globals';
import { Callers } from '../../lib/forwarder/callers.ts';
import { recordingLog, startTime } from './fakes.ts';

const account = { namespace: 'shop', serviceAccountName: 'cart' };

function callersOf(review: (token: string) => Promise<typeof account | undefined>) {
  let milliseconds = startTime.getTime();
  const asked: string[] = [];
  const { log, lines } = recordingLog();
  const callers = new Callers({
    review: (token) => {
      asked.push(token);
      return review(token);
    },
    now: () => new Date(milliseconds),
    log,
  });
  return { callers, asked, lines, pass: (seconds: number) => (milliseconds += seconds * 1000) };
}

describe('Callers', () => {
  it('knows a caller by its token, and asks again after a minute', async () => {
    const { callers, asked, pass } = callersOf(() => Promise.resolve(account));

    expect(await callers.of('t')).toEqual({ outcome: 'known', caller: account });
    pass(59);
    await callers.of('t');
    expect(asked).toEqual(['t']);
    pass(1);
    await callers.of('t');
    expect(asked).toEqual(['t', 't']);
  });

  it('refuses who has no token, without asking, and one that is not valid', async () => {
    const { callers, asked } = callersOf(() => Promise.resolve(undefined));

    expect(await callers.of(undefined)).toEqual({ outcome: 'refused' });
    expect(await callers.of('t')).toEqual({ outcome: 'refused' });
    expect(asked).toEqual(['t']);
  });

  it('does not remember that it could not ask, and logs no token', async () => {
    const { callers, asked, lines } = callersOf(() => Promise.reject(new Error('away')));

    expect(await callers.of('s3cret')).toEqual({ outcome: 'unknown' });
    await callers.of('s3cret');
    expect(asked).toHaveLength(2);
    expect(lines).toContainEqual(expect.objectContaining({ level: 'warn', error: 'away' }));
    expect(JSON.stringify(lines)).not.toContain('s3cret');
  });

  it('asks once for a token that comes many times, and about twenty tokens at once', async () => {
    const answer = Promise.withResolvers<typeof account>();
    const { callers, asked } = callersOf(() => answer.promise);

    const same = [callers.of('0'), callers.of('0')];
    const others = Array.from({ length: 19 }, (_, index) => callers.of(String(index + 1)));
    expect(await callers.of('one more')).toEqual({ outcome: 'unknown' });
    answer.resolve(account);

    for (const one of await Promise.all([...same, ...others])) expect(one.outcome).toBe('known');
    expect(asked).toHaveLength(20);
  });
});
