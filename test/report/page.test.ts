import { createHash } from 'node:crypto';
import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { escaped, html } from '../../lib/report/page/html.ts';
import { renderPage } from '../../lib/report/page/render-page.ts';
import { treemap } from '../../lib/report/page/treemap.ts';
import { parseReport } from '../../lib/report/report-schema.ts';
import { HprofWriter, sampleDump } from '../hprof/hprof-writer.ts';
import { reportOn } from './sample-report.ts';

const hostile = `</script><script>alert(1)</script>"onload='x'\u202egnp\u0000\`$\{1}`;

function dumpWith(className: string): Uint8Array {
  return new HprofWriter()
    .header()
    .utf8(1, className)
    .loadClass(8, 1)
    .segment((body) => body.instance(1, 8, [1, 2, 3])).bytes;
}

describe('the page', () => {
  it('shows the verdict, and what it could not compute', () => {
    const page = renderPage(reportOn(sampleDump()));

    expect(page).toContain('takes');
    expect(page).toContain('Not computed: nobody asked');
  });

  it('escapes a class that is called like markup', () => {
    const page = renderPage(reportOn(dumpWith(hostile), { fileName: hostile }));

    expect(page.match(/<script>/g)).toHaveLength(1);
    expect(page).not.toContain('alert(1)</script>');
    expect(page).not.toContain('\u202e');
    expect(page).toContain(
      '&lt;script&gt;alert(1)&lt;.script&gt;&quot;onload=&#39;x&#39;\\u202egnp\\u0000&#96;',
    );
  });

  it('asks for nothing from outside, and forbids itself to', () => {
    const page = renderPage(reportOn(sampleDump()));

    expect(page).not.toMatch(/https?:|\bsrc=|@import|url\(/);
    const policy = /http-equiv="Content-Security-Policy" content="([^"]+)"/.exec(page)?.[1] ?? '';
    expect(policy).toContain("default-src 'none'");
    for (const name of ['style', 'script']) {
      const content = new RegExp(`<${name}>([^]*?)</${name}>`).exec(page)?.[1] ?? '';
      const hash = createHash('sha256').update(content).digest('base64');
      expect(policy).toContain(`${name}-src 'sha256-${hash}'`);
    }
    expect(page).not.toMatch(/ style="| on[a-z]+="/);
  });

  it('cuts a name of 64 KiB in the middle', () => {
    const report = reportOn(dumpWith('x'.repeat(65_000)));

    expect(report.classes[0]?.className).toHaveLength(65_000);
    expect(renderPage(report).length).toBeLessThan(40_000);
  });

  it('is made of any name without markup of its own', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (text) => {
        expect(escaped(text)).not.toMatch(/[<>"'`]|&(?!(amp|lt|gt|quot|#39|#96);)/);
        expect(html`<b>${text}</b>`.text.slice(3, -4)).toBe(escaped(text));
      }),
    );
  });
});

describe('a report', () => {
  it('is what its schema accepts, also of an odd dump', () => {
    for (const dump of [sampleDump(4), dumpWith(hostile), new HprofWriter().header().bytes]) {
      const report = reportOn(dump);
      expect(parseReport(JSON.parse(JSON.stringify(report)), 'report')).toEqual(report);
    }
  });

  it('of another version is refused by name', () => {
    const report = { ...reportOn(sampleDump()), schemaVersion: 2 };

    expect(() => parseReport(report, 'old.json')).toThrow(/schemaVersion.*got 2/);
  });

  it('says that the dump was cut', () => {
    const dump = sampleDump();

    const { dump: facts, warnings } = reportOn(dump.subarray(0, -9));

    expect(facts.whole).toBe(false);
    expect(warnings).toEqual([expect.stringContaining('no end record')]);
  });
});

describe('treemap', () => {
  it('fills its area in proportion to the weights, without overlap', () => {
    const weights = fc.array(fc.integer({ min: 0, max: 1_000_000 }), {
      minLength: 1,
      maxLength: 40,
    });
    fc.assert(
      fc.property(weights, (list) => {
        const total = list.reduce((sum, weight) => sum + weight, 0);
        const tiles = treemap(
          list.map((weight) => ({ item: weight, weight })),
          1_000,
          300,
        );

        expect(tiles).toHaveLength(list.filter((weight) => weight > 0).length);
        for (const { item, x, y, width, height } of tiles) {
          expect((width * height) / 300_000).toBeCloseTo(item / total, 6);
          expect(Math.min(x, y)).toBeGreaterThanOrEqual(0);
          expect(x + width).toBeLessThan(1_000.001);
          expect(y + height).toBeLessThan(300.001);
        }
      }),
    );
  });
});
