import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { parseReport, type Report } from '../../lib/report/report-schema.ts';
import { renderPage } from '../../lib/report/page/render-page.ts';
import { textOf } from '../../lib/report/thread-names.ts';
import { HprofWriter } from '../hprof/hprof-writer.ts';
import { fullReportOn, heapOf } from './heap-of.ts';
import { HeapWriter } from './heap-writer.ts';

/**
 * A cache in a static field whose map holds most of the heap, a thread that holds an array by a local, a weak reference,
 * and garbage. Sizes are those of a 64-bit JVM with compressed references: header 12, of arrays 16, rounded up to 8.
 */
function shopHeap(idBytes: 4 | 8 = 8): HeapWriter {
  const heap = new HeapWriter(idBytes)
    .class({ id: 0x8000, name: 'java.lang.Object' })
    .class({
      id: 0x8100,
      name: 'shop.Cache',
      superName: 'java.lang.Object',
      loader: 0x1000,
      fields: [['entries', 2]],
      statics: { shared: 0x1100 },
    })
    .class({
      id: 0x8200,
      name: 'java.util.HashMap',
      superName: 'java.lang.Object',
      fields: [
        ['table', 2],
        ['size', 10],
      ],
    })
    .class({ id: 0x8300, name: 'shop.Loader', superName: 'java.lang.Object' })
    .class({ id: 0x8400, name: '[Lshop.Item;', superName: 'java.lang.Object' })
    .class({
      id: 0x8500,
      name: 'shop.Item',
      superName: 'java.lang.Object',
      loader: 0x1000,
      fields: [['text', 2]],
    })
    .class({
      id: 0x8600,
      name: 'java.lang.Thread',
      superName: 'java.lang.Object',
      fields: [['name', 2]],
    })
    .class({
      id: 0x8700,
      name: 'java.lang.String',
      superName: 'java.lang.Object',
      fields: [['value', 2]],
    })
    .class({
      id: 0x8800,
      name: 'java.lang.ref.Reference',
      superName: 'java.lang.Object',
      fields: [['referent', 2]],
    })
    .class({
      id: 0x8900,
      name: 'java.lang.ref.WeakReference',
      superName: 'java.lang.ref.Reference',
    })
    .instance(0x1000, 'shop.Loader')
    .instance(0x1100, 'shop.Cache', 0x1200)
    .instance(0x1200, 'java.util.HashMap', 0x1300, 20);
  const items = Array.from({ length: 20 }, (_, at) => 0x2000 + at * 0x100);
  heap.array(0x1300, '[Lshop.Item;', [...items, 0, 0, 0, 0]);
  for (const id of items) {
    heap.instance(id, 'shop.Item', id + 0x10).bytes(id + 0x10, 'x'.repeat(100));
  }
  return heap
    .instance(0x5000, 'java.lang.Thread', 0x5100)
    .instance(0x5100, 'java.lang.String', 0x5200)
    .bytes(0x5200, 'cart-worker')
    .bytes(0x5300, 'y'.repeat(400))
    .instance(0x6000, 'java.lang.ref.WeakReference', 0x6100)
    .bytes(0x6100, 'weakly held')
    .bytes(0x6200, 'garbage')
    .jniGlobal(0x1000)
    .jniGlobal(0x6000)
    .thread(0x5000, 7)
    .local(0x5300, 7)
    .stickyClass('java.lang.Object');
}

/** The same dump, of which all GC roots refer to nothing: the sub-records of shopHeap's end. */
function withoutRoots(dump: Uint8Array): Uint8Array {
  const bytes = Uint8Array.from(dump);
  // jniGlobal twice (17 bytes each), thread (17), local (17), stickyClass (9).
  const start = bytes.length - (17 + 17 + 17 + 17 + 9);
  for (const at of [0, 17, 34, 51, 68]) bytes.fill(0, start + at + 1, start + at + 9);
  return bytes;
}

type Computed = Extract<Report['retained'], { state: 'computed' }>;

async function computed(dump: Uint8Array): Promise<{ report: Report; retained: Computed }> {
  const report = await fullReportOn(dump);
  if (report.retained.state !== 'computed') throw new Error('not computed');
  return { report, retained: report.retained };
}

const itemBytes = 16 + 120;
const mapBytes = 24 + (16 + 24 * 4) + 20 * itemBytes;

describe('retained sizes', () => {
  it.each([8, 4] as const)(
    'name the field that keeps the heap, with identifiers of %i bytes',
    async (idBytes) => {
      const { report, retained } = await computed(shopHeap(idBytes).dump);

      const [suspect, ...others] = retained.suspects;
      expect(report.verdict).toBe(suspect?.explanation);
      expect(report.verdict).toMatch(
        /^shop\.Cache\.entries \(a java\.util\.HashMap, held by the static field shop\.Cache\.shared\) keeps \d\d % of the heap \(\d\.\d KiB\): 20 elements, with 20 objects of shop\.Item in it\.$/,
      );
      expect(suspect?.path.map(({ className, reference }) => [className, reference])).toEqual([
        ['shop.Loader', 'a class that it loaded'],
        ['class shop.Cache', 'static field shared'],
        ['shop.Cache', 'field entries'],
        ['java.util.HashMap', 'field table'],
        ['[Lshop.Item;', undefined],
      ]);
      expect(suspect?.fill).toEqual({ size: 20, capacity: 24 });
      expect(others).toMatchObject([
        { className: '[B', root: 'thread "cart-worker"', retainedBytes: 416 },
      ]);
      expect(parseReport(JSON.parse(JSON.stringify(report)), 'report')).toEqual(report);
      expect(renderPage(report)).toContain('thread &quot;cart-worker&quot;');
    },
  );

  it('are exact, by object and by class', async () => {
    const { report, retained } = await computed(shopHeap().dump);

    const bytesOf = (name: string): unknown => {
      const row = report.classes.find(({ className }) => className === name);
      return [row?.heapBytes, row?.retainedBytes];
    };
    expect(bytesOf('java.util.HashMap')).toEqual([24, mapBytes]);
    expect(bytesOf('shop.Cache')).toEqual([16, 16 + mapBytes]);
    expect(bytesOf('shop.Item')).toEqual([20 * 16, 20 * itemBytes]);
    expect(bytesOf('java.lang.Thread')).toEqual([16, 16 + 16 + 32 + 416]);
    expect(bytesOf('java.lang.ref.WeakReference')).toEqual([16, 16]);
    // The weakly held array and the garbage.
    expect(retained).toMatchObject({ unreachableBytes: 32 + 24, unreachableCount: 2 });
    expect(report.threadCount).toBe(1);
    expect(report.loaders).toContainEqual({
      className: 'shop.Loader',
      id: '0x1000',
      classCount: 2,
    });
  });

  it('follow the values wherever the stream is cut', async () => {
    const { dump } = shopHeap();
    const whole = await fullReportOn(dump);

    await fc.assert(
      fc.asyncProperty(fc.array(fc.nat(dump.length), { maxLength: 30 }), async (cuts) => {
        expect(await fullReportOn(dump, cuts)).toEqual(whole);
      }),
      { numRuns: 12 },
    );
    expect(await fullReportOn(dump, [...dump.keys()])).toEqual(whole);
  });

  it('tell of many small objects of one class that nothing keeps together', async () => {
    const heap = new HeapWriter().class({ id: 0x8000, name: 'shop.Session' });
    for (let id = 1; id <= 30; id += 1) {
      heap.instance(id * 64, 'shop.Session').jniGlobal(id * 64);
    }

    const { report } = await computed(heap.dump);

    expect(report.verdict).toMatch(/^30 objects of shop\.Session keep .* together; the largest/);
  });

  it('name the begin of a list, not a place within it', async () => {
    const heap = new HeapWriter()
      .class({ id: 0x8000, name: 'shop.Node', fields: [['next', 2]] })
      .class({ id: 0x8100, name: 'shop.Queue', fields: [['first', 2]] })
      .instance(0x1000, 'shop.Queue', 0x2000)
      .jniGlobal(0x1000);
    for (let at = 0; at < 200; at += 1) {
      heap.instance(0x2000 + at * 16, 'shop.Node', at === 199 ? 0 : 0x2000 + at * 16 + 16);
    }

    const { report, retained } = await computed(heap.dump);

    expect(retained.suspects).toHaveLength(1);
    expect(report.verdict).toMatch(
      /^shop\.Queue\.first \(a shop\.Node, held by .*keeps 100 % of the heap .*: 200 objects of shop\.Node/,
    );
  });

  it('name no suspect where the dump was cut and its roots are missing', async () => {
    const blind = await fullReportOn(withoutRoots(shopHeap().dump.subarray(0, -9)));

    expect(blind.retained).toMatchObject({ state: 'computed', suspects: [] });
    expect(blind.verdict).toMatch(/cut: what keeps them cannot be told/);
    expect(blind.warnings).toContainEqual(expect.stringContaining('no suspect is named'));
  });

  it('keep a class that only its instances keep', async () => {
    const heap = new HeapWriter()
      .class({ id: 0x8000, name: 'shop.Hidden', statics: { kept: 0x2000 } })
      .bytes(0x2000, 'z'.repeat(500))
      .instance(0x3000, 'shop.Hidden')
      .jniGlobal(0x3000);

    const { retained } = await computed(heap.dump);

    expect(retained.unreachableCount).toBe(0);
    expect(retained.suspects[0]?.root).toContain('kept by its instances');
  });

  it('add up to what is reachable, in any heap', () => {
    const size = fc.integer({ min: 1, max: 30 });
    const heap = size.chain((count) =>
      fc.record({
        count: fc.constant(count),
        edges: fc.array(fc.array(fc.nat(count * 2), { maxLength: 4 }), {
          minLength: count,
          maxLength: count,
        }),
        roots: fc.array(fc.nat(count), { maxLength: 3 }),
      }),
    );
    fc.assert(
      fc.property(heap, ({ count, edges, roots }) => {
        const writer = new HeapWriter().class({ id: 0x8000, name: '[Lshop.Node;' });
        for (let id = 0; id < count; id += 1) {
          writer.array(
            16 + id * 64,
            '[Lshop.Node;',
            (edges[id] ?? []).map((to) => 16 + to * 64),
          );
        }
        for (const root of roots) writer.jniGlobal(16 + root * 64);
        const { tree, reachableBytes, heapBytes, unreachableCount } = heapOf(writer.dump);

        const below = [...tree.retained.keys()].filter(
          (number) => number > 0 && tree.dominators[number] === 0,
        );
        const sum = below.reduce((total, number) => total + (tree.retained[number] ?? 0), 0);
        expect(sum).toBe(reachableBytes);
        expect(reachableBytes).toBeLessThanOrEqual(heapBytes);
        expect(unreachableCount).toBeGreaterThanOrEqual(0);
      }),
    );
  });

  it('answer any damaged dump with a report', async () => {
    const { dump } = shopHeap();
    const change = fc.tuple(fc.nat(dump.length - 1), fc.nat(255));
    await fc.assert(
      fc.asyncProperty(
        fc.array(change, { minLength: 1, maxLength: 8 }),
        fc.nat(dump.length),
        async (changes, length) => {
          const bytes = Uint8Array.from(dump);
          for (const [at, value] of changes) bytes[at] = value;
          const whole = await fullReportOn(bytes.subarray(0, length)).catch((error: unknown) => {
            // A report on a part survives; only buildReport's own survey may refuse the bytes.
            if (error instanceof Error && error.name === 'CaptureError') return undefined;
            throw error;
          });
          if (whole) parseReport(JSON.parse(JSON.stringify(whole)), 'report');
        },
      ),
      { numRuns: 120 },
    );
  });
});

describe('a text', () => {
  it('is Latin-1, or UTF-16 of either order', () => {
    const wide = new HprofWriter().u2(0x160, 0x10d).bytes;

    expect(textOf(new TextEncoder().encode('worker-1'), false)).toBe('worker-1');
    expect(textOf(wide, true)).toBe('Šč');
    expect(textOf(Uint8Array.from([0x61, 0, 0x62, 0]), false)).toBe('ab');
  });
});
