import { expect } from '@jest/globals';
import type { IndexEntry } from '../../lib/dump-index/index-entry.ts';
import { checkStoredDump } from '../../lib/local/dump-check.ts';
import type { Environment } from './environment.ts';

/** The stored dump is the victim's, from its header to the JVM's end record, with the checksum of the index. */
export async function expectWholeDump(
  { objects }: Environment,
  entry: IndexEntry,
  marker: string,
): Promise<void> {
  const check = await checkStoredDump(objects, entry, {
    markerClass: 'LeakingApplication$Marker',
    markerText: marker,
  });
  expect(check).toMatchObject({
    chain: 'ended',
    markerInstances: 1,
    markerTextFound: true,
    checksumMatches: true,
  });
}
