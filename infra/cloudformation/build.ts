import { execFileSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { releaseTemplate, type Template } from './release-template.ts';

const project = path.resolve(import.meta.dirname, '../..');

/**
 * Packages the stack for a stage into a folder: `heapcatch.template.json`, `capture.zip`, `seal.zip`, `sweep.zip`. With them anything that
 * can deploy CloudFormation deploys heapcatch; infra/terraform is one.
 */
export function buildRelease(stage: string, folder: string): void {
  const work = mkdtempSync(path.join(tmpdir(), 'heapcatch-release-'));
  try {
    const program = path.join(project, 'node_modules/.bin/serverless');
    execFileSync(process.execPath, [program, 'package', '--stage', stage, '--package', work], {
      cwd: project,
      env: {
        ...process.env,
        CI: '1',
        SLS_TELEMETRY_DISABLED: '1',
        HEAPCATCH_BUILD_FOLDER: `.esbuild/release-${process.pid}`,
      },
      stdio: ['ignore', 'ignore', 'inherit'],
    });
    const file = path.join(work, 'cloudformation-template-update-stack.json');
    const packaged = JSON.parse(readFileSync(file, 'utf8')) as Template;
    mkdirSync(folder, { recursive: true });
    const text = JSON.stringify(releaseTemplate(packaged));
    writeFileSync(path.join(folder, 'heapcatch.template.json'), text);
    for (const name of ['capture', 'seal', 'sweep']) {
      cpSync(path.join(work, `${name}.zip`), path.join(folder, `${name}.zip`));
    }
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

if (import.meta.main) {
  const { values } = parseArgs({
    options: {
      stage: { type: 'string', default: 'prod' },
      to: { type: 'string', default: 'dist/release' },
    },
  });
  const { stage } = values;
  if (/^[A-Za-z][A-Za-z0-9-]{0,62}$/.test(stage)) {
    buildRelease(stage, path.resolve(values.to));
    process.stdout.write(`${path.resolve(values.to)}\n`);
  } else {
    process.stderr.write(
      `--stage is ${JSON.stringify(stage)}; accepted are letters, digits and "-", a letter first\n`,
    );
    process.exitCode = 2;
  }
}
