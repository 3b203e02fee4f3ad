import type { Report, Suspect } from '../report-schema.ts';
import { bytesText, countText, percentText, readableName, shortName } from '../words.ts';
import { html, type Html } from './html.ts';

export function suspectSection({ retained }: Report): Html {
  if (retained.state === 'notComputed') {
    return html`<h2 id="suspects">What keeps it</h2>
      <p>Not computed: ${retained.reason}</p>
      <p>${retained.howTo}</p>`;
  }
  const none = html`<p>No object keeps a tenth of the heap by itself.</p>`;
  const largest = retained.largest.map(
    (row) =>
      html`<tr>
        <td class="name">${readableName(row.className)}</td>
        <td class="name">${row.id}</td>
        <td class="number">${bytesText(row.heapBytes)}</td>
        <td class="number">${bytesText(row.retainedBytes)}</td>
      </tr> `,
  );
  return html`<h2 id="suspects">What keeps it</h2>
    ${retained.suspects.length === 0 ? none : retained.suspects.map(suspectArticle)}
    <p>
      ${bytesText(retained.unreachableBytes)} in ${countText(retained.unreachableCount)} objects are
      reachable from no GC root: garbage that was not collected yet.
    </p>
    <details>
      <summary>The ${retained.largest.length} objects that keep most</summary>
      <div class="scroll">
        <table>
          <thead>
            <tr>
              <th>Class</th>
              <th>Identifier</th>
              <th class="number">Own</th>
              <th class="number">Retained</th>
            </tr>
          </thead>
          <tbody>
            ${largest}
          </tbody>
        </table>
      </div>
    </details>`;
}

function suspectArticle(suspect: Suspect): Html {
  const steps = suspect.path.map(
    ({ className, id, reference, retainedBytes }) =>
      html`<li class="step">
        ${readableName(className)}
        <span class="quiet">${id}</span
        >${retainedBytes !== undefined && html` <span class="quiet">keeps ${bytesText(retainedBytes)}</span>`}${reference !== undefined && html` · <b>${shortName(reference)}</b>`}
      </li>`,
  );
  const contents = suspect.contents.map(
    ({ className, instanceCount, heapBytes }) =>
      html`<tr>
        <td class="name">${readableName(className)}</td>
        <td class="number">${countText(instanceCount)}</td>
        <td class="number">${bytesText(heapBytes)}</td>
      </tr>`,
  );
  return html`<article>
    <p>
      <b>${percentText(suspect.share)}, ${bytesText(suspect.retainedBytes)}</b>
      ${suspect.explanation}
    </p>
    ${suspect.fill && html`<p class="quiet">${countText(suspect.fill.size)} elements, places for ${countText(suspect.fill.capacity)}</p>`}
    <details open>
      <summary>From the GC root: ${suspect.root}</summary>
      <ol class="path">
        ${steps}
      </ol>
    </details>
    <details>
      <summary>What it keeps, by class</summary>
      <div class="scroll">
        <table>
          <thead>
            <tr>
              <th>Class</th>
              <th class="number">Objects</th>
              <th class="number">Bytes</th>
            </tr>
          </thead>
          <tbody>
            ${contents}
          </tbody>
        </table>
      </div>
    </details>
  </article> `;
}
