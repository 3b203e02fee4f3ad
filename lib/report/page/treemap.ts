/** One rectangle of a treemap, in the units of the whole. */
export interface Tile<T> {
  readonly item: T;
  readonly x: number;
  readonly y: number;
  readonly width: number;
  readonly height: number;
}

/**
 * Lays items out by their weight, largest first, each as near to a square as it goes (Bruls, Huizing and van Wijk,
 * "Squarified treemaps"). Items without weight have no tile.
 */
export function treemap<T>(
  items: readonly { item: T; weight: number }[],
  width: number,
  height: number,
): Tile<T>[] {
  const heavy = items.filter(({ weight }) => weight > 0).toSorted((a, b) => b.weight - a.weight);
  const total = heavy.reduce((sum, { weight }) => sum + weight, 0);
  const scale = (width * height) / total;
  const tiles: Tile<T>[] = [];
  let free = { x: 0, y: 0, width, height };
  let at = 0;
  while (at < heavy.length) {
    const side = Math.min(free.width, free.height);
    let count = 1;
    let area = (heavy[at]?.weight ?? 0) * scale;
    const largest = area;
    let worst = ratioOf(largest, largest, area, side);
    for (; at + count < heavy.length; count += 1) {
      const next = (heavy[at + count]?.weight ?? 0) * scale;
      const ratio = ratioOf(largest, next, area + next, side);
      if (ratio > worst) break;
      worst = ratio;
      area += next;
    }
    const across = side === 0 ? 0 : area / side;
    let along = 0;
    for (const { item, weight } of heavy.slice(at, at + count)) {
      const length = across === 0 ? 0 : (weight * scale) / across;
      tiles.push(
        free.width >= free.height
          ? { item, x: free.x, y: free.y + along, width: across, height: length }
          : { item, x: free.x + along, y: free.y, width: length, height: across },
      );
      along += length;
    }
    free =
      free.width >= free.height
        ? { ...free, x: free.x + across, width: Math.max(0, free.width - across) }
        : { ...free, y: free.y + across, height: Math.max(0, free.height - across) };
    at += count;
  }
  return tiles;
}

/** The worse of the shapes that the largest and the smallest tile of a row have. */
function ratioOf(largest: number, smallest: number, area: number, side: number): number {
  const squaredArea = area * area;
  const squaredSide = side * side;
  return Math.max((squaredSide * largest) / squaredArea, squaredArea / (squaredSide * smallest));
}
