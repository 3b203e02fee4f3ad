import { execFileSync } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { metricOf, type Metric } from './report.ts';
import { repeatCount, say } from './settings.ts';

const project = resolve(import.meta.dirname, '..');
const functionNames = ['capture', 'seal', 'sweep'] as const;
/** What a function is made of, imported as it is published: the two SDKs that every one has, and the client library. */
const plainImports = ['@aws-sdk/client-s3', '@aws-sdk/client-dynamodb', '@kubernetes/client-node'];
const maxPackageBytes = 1024 * 1024;

/**
 * Milliseconds from the start of an import to its end, in a process of its own, of the deployed code against plain imports of
 * the SDKs and the client library. `imports`: the file that Lambda loads before it can take an invocation. `all`: every module of the
 * package, more than any one invocation needs. `cold/package`: bytes of the package, against a MiB.
 */
export function benchCold(): Promise<readonly Metric[]> {
  const folder = mkdtempSync(join(tmpdir(), 'heapcatch-bench-'));
  try {
    const metrics: Metric[] = [];
    packageInto(folder);
    for (const name of functionNames) {
      const modules = unpack(folder, name);
      const entry = join(folder, name, 'functions', `${name}.mjs`);
      const repeats: { entry: number; all: number; plain: number }[] = [];
      for (let repeat = 0; repeat <= repeatCount(); repeat += 1) {
        const each = {
          entry: importMillis([entry]),
          plain: importMillis(plainImports),
          all: importMillis(modules),
        };
        say(JSON.stringify({ name, repeat, ...each }));
        if (repeat > 0) repeats.push(each);
      }
      const against = (metric: string, way: 'entry' | 'all'): Metric =>
        metricOf(
          metric,
          repeats.map((each) => ({ ours: each[way], reference: each.plain })),
        );
      metrics.push(against(`cold/imports-${name}`, 'entry'), against(`cold/all-${name}`, 'all'));
      const { size } = statSync(join(folder, `${name}.zip`));
      metrics.push(metricOf(`cold/package-${name}`, [{ ours: size, reference: maxPackageBytes }]));
    }
    return Promise.resolve(metrics);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function packageInto(folder: string): void {
  const program = join(project, 'node_modules/.bin/serverless');
  execFileSync(process.execPath, [program, 'package', '--package', folder], {
    cwd: project,
    env: {
      ...process.env,
      CI: '1',
      SLS_TELEMETRY_DISABLED: '1',
      HEAPCATCH_BUILD_FOLDER: `.esbuild/bench-${process.pid}`,
    },
    stdio: ['ignore', 'ignore', 'inherit'],
  });
}

/** All modules of a function's package but those of the others. */
function unpack(folder: string, name: string): string[] {
  const there = join(folder, name);
  execFileSync('python3', ['-m', 'zipfile', '-e', join(folder, `${name}.zip`), there]);
  const modules = join(there, 'functions');
  return readdirSync(modules)
    .filter((file) => file.endsWith('.mjs'))
    .map((file) => join(modules, file));
}

/** Each in a process that has loaded nothing else; bare names are looked up from the project. */
function importMillis(modules: readonly string[]): number {
  const script = `
    const begun = performance.now();
    for (const name of ${JSON.stringify(modules)}) await import(name);
    process.stdout.write(String(performance.now() - begun));
    process.exit(0);`;
  const args = ['--input-type=module', '--eval', script];
  return Number(execFileSync(process.execPath, args, { cwd: project, encoding: 'utf8' }));
}
