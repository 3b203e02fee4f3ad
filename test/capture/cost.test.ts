import { describe, expect, it } from '@jest/globals';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { sealCapture } from '../../lib/capture/seal.ts';
import { startCapture } from '../../lib/capture/start-capture.ts';
import {
  createMemoryClaimStore,
  createMemoryItemTable,
} from '../../lib/local/memory-claim-store.ts';
import { signal, World } from './world.ts';

const page = readFileSync(path.resolve(import.meta.dirname, '../../docs/cost.md'), 'utf8');

/** S3 asks the same price for all of a kind. What only signs a URL is no request, and deleting and aborting are free. */
const kinds: Readonly<Record<string, string>> = {
  putObject: 'S3 writes',
  createMultipartUpload: 'S3 writes',
  uploadPart: 'S3 writes',
  completeMultipartUpload: 'S3 writes',
  listParts: 'S3 writes',
  listObjects: 'S3 writes',
  getObject: 'S3 reads',
  headObject: 'S3 reads',
};

/** Calls of one capture of three parts and all evidence; items of the claim table, not bytes. */
async function callsOfOneCapture(): Promise<Record<string, number>> {
  const counts: Record<string, number> = {};
  const count = (kind: string, by = 1): void => {
    counts[kind] = (counts[kind] ?? 0) + by;
  };
  const world = new World();
  const { objects } = world;
  for (const [method, kind] of Object.entries(kinds)) {
    const call = Reflect.get(objects, method) as (...args: unknown[]) => unknown;
    Reflect.set(objects, method, (...args: unknown[]) => {
      count(kind);
      return call.apply(objects, args);
    });
  }
  const table = createMemoryItemTable();
  world.claims = createMemoryClaimStore({
    table: {
      read: (keys) => {
        count('items read', keys.length);
        return table.read(keys);
      },
      write: (writes) => {
        count('items written', writes.length);
        return table.write(writes);
      },
      listOpen: (...args) => table.listOpen(...args),
    },
  });
  await startCapture(world.captureDeps(), signal());
  // The agent's own request for its ticket.
  count('S3 reads');
  await world.runAgent();
  const { captureId, objectPrefix } = await world.record();
  // The test's own look at the record.
  count('items read', -1);
  await sealCapture(world.finishDeps(), { captureId, prefixes: [objectPrefix] });
  return counts;
}

describe('docs/cost.md', () => {
  it('counts the calls of a capture as they are', async () => {
    const counts = await callsOfOneCapture();
    const told = Object.fromEntries(
      [...page.matchAll(/^\| (S3 writes|S3 reads|items read|items written) \| (\d+) \|/gm)].map(
        ([, kind, number]): [string, number] => [kind!, Number(number)],
      ),
    );

    expect(told).toEqual(counts);
  });
});
