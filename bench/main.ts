import { benchClaims } from './claims/claims.ts';
import { benchCold } from './cold.ts';
import { benchDurable } from './durable.ts';
import { benchGcLog } from './gc-log/gc-log.ts';
import { benchAgentMemory, benchRest } from './memory.ts';
import { benchPath } from './path.ts';
import { benchPause } from './pause.ts';
import { benchPauseLimited } from './pause-limited.ts';
import type { Metric } from './report.ts';
import { benchSalvage } from './salvage.ts';
import { benchSavedRate } from './saved-rate/saved-rate.ts';
import { benchScan } from './scan.ts';
import { benchSensor } from './sensor.ts';
import { benchUploadCpu } from './upload-cpu.ts';
import { benchWatch } from './watch/watch.ts';

/** Benchmarks by name. Each prints one JSON line a metric and nothing else on stdout. */
const benchmarks: Readonly<Record<string, () => Promise<readonly Metric[]>>> = {
  path: benchPath,
  durable: benchDurable,
  pause: benchPause,
  'pause-limited': benchPauseLimited,
  salvage: benchSalvage,
  'agent-memory': benchAgentMemory,
  rest: benchRest,
  'upload-cpu': benchUploadCpu,
  'saved-rate': benchSavedRate,
  'gc-log': benchGcLog,
  claims: benchClaims,
  sensor: benchSensor,
  cold: benchCold,
  scan: benchScan,
  watch: benchWatch,
};

const name = process.argv[2] ?? '';
const benchmark = benchmarks[name];
if (benchmark === undefined) {
  process.stderr.write(
    `bench: "${name}" is not a benchmark; accepted are: ${Object.keys(benchmarks).join(', ')}\n`,
  );
  process.exitCode = 2;
} else {
  for (const metric of await benchmark()) process.stdout.write(`${JSON.stringify(metric)}\n`);
}
