/** What the page does by itself: choose a scheme, filter and sort tables. Without it all is there to be read. */
export const pageScript = `
'use strict';
const root = document.documentElement;
document.getElementById('scheme').addEventListener('click', () => {
  const dark = root.dataset.scheme ? root.dataset.scheme === 'dark' : matchMedia('(prefers-color-scheme: dark)').matches;
  root.dataset.scheme = dark ? 'light' : 'dark';
});
for (const input of document.querySelectorAll('input[data-filters]')) {
  const rows = document.querySelectorAll('#' + input.dataset.filters + ' tbody tr');
  const said = document.getElementById(input.dataset.filters + '-shown');
  input.addEventListener('input', () => {
    const wanted = input.value.toLowerCase();
    let shown = 0;
    for (const row of rows) {
      row.hidden = !row.cells[0].textContent.toLowerCase().includes(wanted);
      if (!row.hidden) shown += 1;
    }
    said.textContent = shown + ' of ' + rows.length + ' rows';
  });
}
addEventListener('keydown', (event) => {
  if (event.key !== '/' || event.target instanceof HTMLInputElement) return;
  event.preventDefault();
  document.querySelector('input[data-filters]')?.focus();
});
for (const head of document.querySelectorAll('table[data-sorts] th')) {
  head.querySelector('button')?.addEventListener('click', () => {
    const table = head.closest('table');
    const body = table.tBodies[0];
    const ascending = head.getAttribute('aria-sort') === 'descending';
    const value = (row) => {
      const cell = row.cells[head.cellIndex];
      return cell.dataset.value === undefined ? cell.textContent : Number(cell.dataset.value);
    };
    const sorted = [...body.rows].map((row) => [value(row), row]);
    sorted.sort(([one], [other]) => (one < other ? -1 : one > other ? 1 : 0) * (ascending ? 1 : -1));
    for (const other of table.querySelectorAll('th')) other.removeAttribute('aria-sort');
    head.setAttribute('aria-sort', ascending ? 'ascending' : 'descending');
    body.replaceChildren(...sorted.map(([, row]) => row));
  });
}
`;
