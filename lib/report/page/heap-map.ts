import type { Report } from '../report-schema.ts';
import { bytesText, percentText, readableName } from '../words.ts';
import { html, type Html } from './html.ts';
import { treemap } from './treemap.ts';

const width = 1_080;
const height = 260;
const maxTiles = 40;
/** Smaller tiles have no room for a name; the tooltip says it. */
const minNamedWidth = 70;
const minNamedHeight = 18;
const characterWidth = 7.5;

/** The heap as a treemap by class, the rest as one tile. */
export function heapMap({ classes, retained, totals }: Report): Html {
  const total = retained.state === 'computed' ? retained.heapBytes : totals.shallowBytes;
  const items = classes
    .slice(0, maxTiles)
    .map((row) => ({ item: row.className, weight: row.heapBytes ?? row.shallowBytes }));
  const rest = total - items.reduce((sum, { weight }) => sum + weight, 0);
  if (rest > 0) items.push({ item: 'all other classes', weight: rest });
  const tiles = treemap(items, width, height).map((tile) => {
    const share = (tile.width * tile.height) / (width * height);
    const words = `${readableName(tile.item)}: ${percentText(share)}, ${bytesText(Math.round(share * total))}`;
    const hasName = tile.width >= minNamedWidth && tile.height >= minNamedHeight;
    const room = Math.floor((tile.width - 10) / characterWidth);
    const whole = readableName(tile.item);
    const name = whole.length <= room ? whole : `…${whole.slice(1 - room)}`;
    const [x, y, tileWidth, tileHeight] = [tile.x, tile.y, tile.width, tile.height].map((value) =>
      value.toFixed(1),
    );
    return html`<g
      ><title>${words}</title
      ><rect
        x="${x}"
        y="${y}"
        width="${tileWidth}"
        height="${tileHeight}"
      />${hasName && html`<text x="${(tile.x + 5).toFixed(1)}" y="${(tile.y + 14).toFixed(1)}">${name}</text>`}</g
    >`;
  });
  return html`<h2 id="map">What fills the heap</h2>
    <svg
      class="map"
      viewBox="0 0 ${width} ${height}"
      role="img"
      aria-label="Treemap of the heap by class; the table below has the same numbers"
    >
      ${tiles}
    </svg>`;
}
