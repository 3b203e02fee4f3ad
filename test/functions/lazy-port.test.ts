import { describe, expect, it } from '@jest/globals';
import { lazyPort } from '../../functions/lazy-port.ts';

describe('lazyPort', () => {
  it('loads with the first call, once for all that come at the same time', async () => {
    let loadCount = 0;
    const port = lazyPort(() => {
      loadCount += 1;
      return Promise.resolve({ add: (a: number, b: number) => Promise.resolve(a + b) });
    });
    expect(loadCount).toBe(0);

    expect(await Promise.all([port.add(1, 2), port.add(3, 4)])).toEqual([3, 7]);

    expect(loadCount).toBe(1);
  });

  it('hands on what a call throws', async () => {
    const port = lazyPort(() =>
      Promise.resolve({ fail: () => Promise.reject(new Error('refused')) }),
    );

    await expect(port.fail()).rejects.toThrow('refused');
  });
});
