import { createHash } from 'node:crypto';
import type { Report } from '../report-schema.ts';
import { bytesText, counted, countText, shortName } from '../words.ts';
import { heapMap } from './heap-map.ts';
import { Html, html } from './html.ts';
import { pageScript } from './script.ts';
import { pageStyle } from './style.ts';
import { suspectSection } from './suspect-section.ts';
import { rootSection } from './root-section.ts';
import { arrayTables, classTable, threadSection } from './tables.ts';

/**
 * The report as one page: no request to anywhere, which a content security policy in it holds, and readable without its
 * script. Names out of the dump are escaped.
 */
export function renderPage(report: Report): string {
  const title = `heapcatch: ${shortName(report.capture?.workload ?? report.dump.fileName)}`;
  const policy = `default-src 'none'; style-src ${hashOf(pageStyle)}; script-src ${hashOf(pageScript)}; base-uri 'none'; form-action 'none'`;
  const page = html`<!doctype html>
    <html lang="en">
      <head>
        <meta charset="utf-8" />
        <meta http-equiv="Content-Security-Policy" content="${new Html(policy)}" />
        <meta name="viewport" content="width=device-width, initial-scale=1" />
        <meta name="referrer" content="no-referrer" />
        <title>${title}</title>
        ${element('style', pageStyle)}
      </head>
      <body>
        <a class="skip" href="#suspects">To the suspects</a>
        <header>
          <h1>${title}</h1>
          <p class="verdict">${report.verdict}</p>
          ${facts(report)}${warnings(report)}
        </header>
        <nav aria-label="Sections">
          ${report.capture && html`<a href="#timeline">How it died</a>`}${sections.map(([id, name]) => html`<a href="#${id}">${name}</a>`)}<button
            type="button"
            id="scheme"
          >
            Dark or light
          </button>
        </nav>
        <main>
          ${timeline(report)}${heapMap(report)}${suspectSection(report)}
          <h2 id="class-table">Classes</h2>
          ${classTable(report)} ${arrayTables(report)}${threadSection(report)}${rootSection(report)}
        </main>
        ${element('script', pageScript)}
      </body>
    </html> `;
  return page.text;
}

const sections = [
  ['suspects', 'Suspects'],
  ['class-table', 'Classes'],
  ['arrays', 'Arrays'],
  ['texts', 'Texts'],
  ['threads', 'Threads'],
  ['roots', 'Roots'],
] as const;

/** Not by `html`: the policy's hash is of these very bytes. */
function element(name: 'style' | 'script', content: string): Html {
  return new Html(`<${name}>${content}</${name}>`);
}

function hashOf(content: string): string {
  return `'sha256-${createHash('sha256').update(content).digest('base64')}'`;
}

function facts({ dump, totals, retained, threadCount }: Report): Html {
  const objects = totals.instanceCount + totals.objectArrayCount + totals.primitiveArrayCount;
  const heap: [string, string] =
    retained.state === 'computed'
      ? [bytesText(retained.reachableBytes), 'reachable in the heap']
      : [bytesText(totals.shallowBytes), 'of fields and elements'];
  const rows: readonly [string, string][] = [
    heap,
    [countText(objects), 'objects'],
    [countText(totals.classCount), 'classes'],
    [countText(threadCount), 'threads'],
    [bytesText(dump.bytes), dump.whole ? 'of dump, whole' : 'of dump, not whole'],
    [dump.dumpTime?.replace('T', ' ').slice(0, 19) ?? 'unknown', 'time of the dump (UTC)'],
  ];
  return html`<ul class="facts">
    ${rows.map(([value, name]) => html`<li><b>${value}</b>${name}</li>`)}
  </ul>`;
}

function warnings({ warnings: said }: Report): Html | undefined {
  if (said.length === 0) return undefined;
  return html`<ul class="warnings">
    ${said.map((warning) => html`<li>${warning}</li>`)}
  </ul>`;
}

function timeline({ capture }: Report): Html | undefined {
  if (!capture) return undefined;
  const rows = capture.timeline.map(
    ({ time, step }) =>
      html`<tr>
        <td class="name">${time.replace('T', ' ').replace('Z', '')}</td>
        <td>${step}</td>
      </tr>`,
  );
  return html`<h2 id="timeline">How it died</h2>
    <p>
      ${capture.workload}, pod ${capture.podName}: ${capture.reason}. Capture ${capture.captureId},
      ${capture.state}${capture.memory === undefined ? '' : `. ${capture.memory}`}
    </p>
    <div class="scroll">
      <table>
        <caption>
          ${counted(rows.length, 'step')}, oldest first
        </caption>
        <tbody>
          ${rows}
        </tbody>
      </table>
    </div>`;
}
