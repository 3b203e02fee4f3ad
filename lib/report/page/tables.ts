import { bytesText, counted, countText, percentText, readableName, shortName } from '../words.ts';
import type { Report } from '../report-schema.ts';
import { html, type Html } from './html.ts';

/** More rows make a page slow; report.json has all of them. */
const shownClassCount = 1_000;
const shownThreadNames = 20;
const shownStackCount = 500;

export const numberCell = (value: number, text = countText(value)): Html =>
  html`<td class="number" data-value="${value}">${text}</td>`;
const bytesCell = (value: number | undefined): Html =>
  value === undefined
    ? html`<td class="number" data-value="-1">–</td>`
    : numberCell(value, bytesText(value));

function bar(own: number, whole: number): Html {
  const part = (value: number): string => Math.min(100, Math.max(0, value * 100)).toFixed(2);
  return html`<td>
    <svg class="bar" viewBox="0 0 100 10" preserveAspectRatio="none" aria-hidden="true">
      <rect width="${part(whole)}" height="10" />
      <rect class="own" width="${part(own)}" height="10" />
    </svg>
  </td>`;
}

export const columnHead = (name: string, isNumber = true): Html =>
  html`<th scope="col" ${isNumber ? html` class="number"` : ''}>
    <button type="button">${name}</button>
  </th>`;

/** A table that a reader can sort by each column. @param heads made by columnHead. */
export const sortableTable = (heads: readonly Html[], rows: readonly Html[]): Html =>
  html`<table data-sorts>
    <thead>
      <tr>
        ${heads}
      </tr>
    </thead>
    <tbody>
      ${rows}
    </tbody>
  </table>`;

export function classTable({ classes, classNameCount, retained, totals }: Report): Html {
  const total = Math.max(
    1,
    retained.state === 'computed' ? retained.heapBytes : totals.shallowBytes,
  );
  const rows = classes.slice(0, shownClassCount).map((row) => {
    const own = row.heapBytes ?? row.shallowBytes;
    return html`<tr>
      <td class="name">${readableName(row.className)}</td>
      ${numberCell(row.instanceCount)}${bytesCell(own)}${bytesCell(row.retainedBytes)}${numberCell(own / total, percentText(own / total))}${bar(own / total, (row.retainedBytes ?? own) / total)}
    </tr> `;
  });
  const said = `${rows.length} of ${classNameCount} classes`;
  return html`<label
      >Filter by name <kbd>/</kbd><br /><input
        type="search"
        data-filters="classes"
        autocomplete="off"
    /></label>
    <p class="quiet" id="classes-shown" aria-live="polite">${said}</p>
    <div class="scroll">
      <table id="classes" data-sorts>
        <caption>
          ${retained.state === 'computed' ? 'Bytes as they lie in the heap; retained: what would be freed if none of the class were there.' : 'Bytes of fields and elements as the dump has them, without headers and padding.'}
        </caption>
        <thead>
          <tr>
            ${columnHead('Class', false)}${columnHead('Objects')}${columnHead('Bytes')}${columnHead('Retained')}${columnHead('Share')}
            <th scope="col">Own, retained</th>
          </tr>
        </thead>
        <tbody>
          ${rows}
        </tbody>
      </table>
    </div>`;
}

export function arrayTables({ largestArrays, equalArrays }: Report): Html {
  const largest = largestArrays.map(
    (row) =>
      html`<tr>
        <td class="name">${readableName(row.className)}</td>
        <td class="name">${row.id}</td>
        ${numberCell(row.elementCount)}${bytesCell(row.valueBytes)}
      </tr> `,
  );
  const equal = equalArrays.top.map(
    (row) =>
      html`<tr>
        <td class="name">
          ${
            row.preview === undefined
              ? `${readableName(row.className)} of ${bytesText(row.valueBytes / row.arrayCount)}, no text`
              : JSON.stringify(row.preview)
          }
        </td>
        ${numberCell(row.arrayCount)}${bytesCell(row.valueBytes)}
      </tr> `,
  );
  return html`<h2 id="arrays">Largest arrays</h2>
    <div class="scroll">
      ${sortableTable([columnHead('Class', false), columnHead('Identifier', false), columnHead('Elements'), columnHead('Bytes')], largest)}
    </div>
    <h2 id="texts">Equal texts</h2>
    <p>
      Of ${counted(equalArrays.arrayCount, 'array')} of byte and char (up to 4 KiB each, most of
      them the texts of strings), ${counted(equalArrays.duplicateCount, 'array')} are equal to
      another one: ${bytesText(equalArrays.duplicateBytes)} are there more than once.
    </p>
    <div class="scroll">
      ${sortableTable([columnHead('Text', false), columnHead('Arrays'), columnHead('Bytes')], equal)}
    </div>`;
}

export function threadSection({ stacks, threadCount }: Report): Html {
  const groups = stacks.slice(0, shownStackCount).map((group) => {
    const names = group.threads
      .slice(0, shownThreadNames)
      .map(({ name, serial }) => (name === undefined ? `#${serial}` : shortName(name)));
    const more = group.threadCount - names.length;
    const locals = group.threads.reduce((sum, { localCount }) => sum + localCount, 0);
    const top = group.frames[0] ?? 'no Java stack';
    return html`<details>
      <summary>
        <b>${counted(group.threadCount, 'thread')}</b> <code>${shortName(top)}</code>
        <span class="quiet">${names.slice(0, 3).join(', ')}${names.length > 3 ? ' …' : ''}</span>
      </summary>
      <p class="quiet">
        ${names.join(', ')}${more > 0 ? ` and ${more} more` : ''}; ${counted(locals, 'object')} held
        by their frames
      </p>
      ${frameList(group)}
    </details> `;
  });
  return html`<h2 id="threads">Threads</h2>
    <p>${counted(threadCount, 'thread')}, by their stack; a stack that many share comes first.</p>
    ${groups}`;
}

function frameList({ frames, frameCount }: Report['stacks'][number]): Html {
  const deeper = frameCount - frames.length;
  const lines = [...frames.map(shortName), ...(deeper > 0 ? [`… ${deeper} more frames`] : [])];
  return html`<pre>${lines.join('\n')}</pre>`;
}
