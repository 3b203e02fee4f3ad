import type { Report } from '../report-schema.ts';
import { counted, readableName } from '../words.ts';
import { html, type Html } from './html.ts';
import { columnHead as head, numberCell as number, sortableTable } from './tables.ts';

const shownCount = 100;

/** GC roots by kind, class loaders, and classes that several of these have. */
export function rootSection(report: Report): Html {
  const kinds = Object.entries(report.roots)
    .toSorted(([, one], [, other]) => other - one)
    .map(
      ([kind, count]) =>
        html`<tr>
          <td class="name">${kind}</td>
          ${number(count)}
        </tr>`,
    );
  return html`<h2 id="roots">GC roots and class loaders</h2>
    ${sortableTable([head('Kind of root', false), head('Roots')], kinds)}
    ${loaderTable(report)}${twinTable(report)}`;
}

function loaderTable({ loaders }: Report): Html {
  const rows = loaders.slice(0, shownCount).map(
    ({ className, id, classCount }) =>
      html`<tr>
        <td class="name">${readableName(className)}</td>
        <td class="name">${id}</td>
        ${number(classCount)}
      </tr>`,
  );
  return html`<details>
    <summary>${counted(loaders.length, 'class loader')}</summary>
    ${sortableTable([head('Class loader', false), head('Identifier', false), head('Classes')], rows)}
  </details>`;
}

function twinTable({ duplicateClasses }: Report): Html | undefined {
  if (duplicateClasses.length === 0) return undefined;
  const rows = duplicateClasses.slice(0, shownCount).map(
    ({ className, loaderCount }) =>
      html`<tr>
        <td class="name">${readableName(className)}</td>
        ${number(loaderCount)}
      </tr>`,
  );
  return html`<details>
    <summary>${counted(duplicateClasses.length, 'class name')} with several loaders</summary>
    ${sortableTable([head('Class', false), head('Loaders')], rows)}
  </details>`;
}
