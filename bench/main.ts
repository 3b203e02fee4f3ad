import { benchPath } from './path.ts';
import type { Metric } from './report.ts';

/** Benchmarks by name. Each prints one JSON line a metric and nothing else on stdout. */
const benchmarks: Readonly<Record<string, () => Promise<readonly Metric[]>>> = { path: benchPath };

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
