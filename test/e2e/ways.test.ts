import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buildDistroless } from '../../bench/saved-rate/distroless.ts';
import { runWorkload, type Stage } from '../../bench/saved-rate/runner.ts';
import { ways } from '../../bench/saved-rate/ways.ts';
import { type Environment, startEnvironment } from './environment.ts';

let environment: Environment | undefined;
let stage: Stage;
const nodeFolder = mkdtempSync(join(tmpdir(), 'heapcatch-ways-'));

beforeAll(async () => {
  environment = await startEnvironment({ jdks: [17] });
  await environment.installNodeAgent();
  const distrolessImage = await buildDistroless(nodeFolder);
  stage = { environment, nodeFolder, distrolessImage };
}, 600_000);
afterAll(async () => {
  await environment?.close();
  rmSync(nodeFolder, { recursive: true, force: true });
}, 240_000);

const caseMilliseconds = 360_000;

/** One workload for each way to die; the benchmark saved-rate counts over many. */
describe('a pod that dies, with an agent on its node', () => {
  const warned = ways.filter(({ warning }) => warning !== 'nothing');
  const unwarned = ways.filter(({ warning }) => warning === 'nothing');

  it.each(warned.map((way) => [way.name, way] as const))(
    'leaves its heap dump, whole, indexed within a minute and with the application’s marker: %s',
    async (_name, way) => {
      const verdicts = await runWorkload(stage, way, 'heapcatch', 1);

      expect(verdicts).toEqual(verdicts.map(() => 'saved'));
    },
    caseMilliseconds,
  );

  it.each(unwarned.map((way) => [way.name, way] as const))(
    'leaves none where nobody is asked before the heap is gone, and none is claimed to be there: %s',
    async (_name, way) => {
      const verdicts = await runWorkload(stage, way, 'heapcatch', 1);

      for (const verdict of verdicts) {
        // A probe can fail in time by chance: a JVM that runs out of memory is slow before it ends.
        if (verdict === 'saved') continue;
        expect(verdict.lost).toMatch(/^(no index entry|failed|evidence-only|salvaged|HeapDump)/);
      }
    },
    caseMilliseconds,
  );
});
