import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';

const folder = join(import.meta.dirname, 'fixtures');

export function fixture(name: string): string {
  return readFileSync(join(folder, name), 'utf8');
}

/** Names of all captured texts: see fixtures/README.md. */
export const fixtureNames: readonly string[] = readdirSync(folder)
  .filter((name) => name.endsWith('.txt'))
  .sort();

export const collectorsUnderTest = [
  ['Serial', 'Serial'],
  ['Parallel', 'Parallel'],
  ['G1', 'G1'],
  ['Z', 'ZGC'],
  ['Shenandoah', 'Shenandoah'],
] as const;
