import { describe, expect, it } from '@jest/globals';
import { parseHeapInfo, type HeapInfo } from '../../lib/jvm/heap-info.ts';
import { fixture, fixtureNames } from './fixtures.ts';

const kibibyte = 1024;
const max = 128 * 1024 * kibibyte;

const expected: Readonly<Record<string, HeapInfo>> = {
  'jdk17-Serial-heap-info.txt': serial(),
  'jdk25-Serial-heap-info.txt': serial(),
  'jdk17-Parallel-heap-info.txt': parallel(),
  'jdk25-Parallel-heap-info.txt': parallel(),
  'jdk17-G1-heap-info.txt': { collector: 'G1', committedBytes: max / 2, maxBytes: max },
  'jdk25-G1-heap-info.txt': { collector: 'G1', committedBytes: max / 2, maxBytes: max },
  'jdk17-Z-heap-info.txt': { collector: 'ZGC', committedBytes: max / 2, maxBytes: max },
  'jdk25-Z-heap-info.txt': { collector: 'ZGC', committedBytes: max / 2, maxBytes: max },
  'jdk17-Shenandoah-heap-info.txt': shenandoah(),
  'jdk25-Shenandoah-heap-info.txt': shenandoah(),
};

function serial(): HeapInfo {
  const committedBytes = (19_712 + 43_712) * kibibyte;
  return { collector: 'Serial', committedBytes, maxBytes: max };
}

/** Young and old generation lie in reserved memory of their own. */
function parallel(): HeapInfo {
  const committedBytes = (18_944 + 44_032) * kibibyte;
  return { collector: 'Parallel', committedBytes, maxBytes: max };
}

function shenandoah(): HeapInfo {
  return { collector: 'Shenandoah', committedBytes: max / 2, maxBytes: max };
}

describe('parseHeapInfo', () => {
  it.each(fixtureNames)('knows its own answers and no others: %s', (name) => {
    const info = parseHeapInfo(fixture(name));

    const { usedBytes, ...rest } = info ?? {};
    expect(info && rest).toEqual(expected[name]);
    if (info) {
      expect(usedBytes).toBeGreaterThan(500 * kibibyte);
      expect(usedBytes).toBeLessThan(10_000 * kibibyte);
    }
  });

  it('leaves out a size that is not printed', () => {
    expect(parseHeapInfo('garbage-first heap   something new')).toEqual({ collector: 'G1' });
    expect(parseHeapInfo(' PSYoungGen      total 1K, used 1K')).toEqual({
      collector: 'Parallel',
      usedBytes: 1024,
      committedBytes: 1024,
    });
    expect(parseHeapInfo('def new generation  total')).toEqual({ collector: 'Serial' });
  });

  it('reads heaps over 2 TiB', () => {
    const text = ' ZHeap           used 3145728M, capacity 4T, max capacity 16777216M';

    expect(parseHeapInfo(text)).toEqual({
      collector: 'ZGC',
      usedBytes: 3 * 1024 ** 4,
      committedBytes: 4 * 1024 ** 4,
      maxBytes: 16 * 1024 ** 4,
    });
  });
});
