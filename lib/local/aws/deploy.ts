import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { rmSync } from 'node:fs';
import path from 'node:path';
import { CaptureError } from '../../errors.ts';

const project = path.resolve(import.meta.dirname, '../../..');
const deployDeadlineSeconds = 180;

/**
 * Deploys the real stack (serverless.yml) with the serverless program, into whatever AWS the environment names.
 * Builds in a folder of its own, so that two at once do not meet.
 * @throws CaptureError InvalidConfiguration with the program's last lines.
 */
export async function deployStack(options: {
  stage: string;
  env: Readonly<Record<string, string>>;
  params: Readonly<Record<string, string>>;
  /** Ends the deployment where it is. */
  stop?: AbortSignal;
}): Promise<{ stackName: string }> {
  const build = `.esbuild/deploy-${randomBytes(6).toString('hex')}`;
  const params = Object.entries(options.params).flatMap(([name, value]) => [
    '--param',
    `${name}=${value}`,
  ]);
  const common = ['--stage', options.stage, '--package', path.join(build, 'package'), ...params];
  const env = { ...options.env, HEAPCATCH_BUILD_FOLDER: build };
  try {
    await serverless(['package', ...common], env, options.stop);
    await serverless(['deploy', ...common], env, options.stop);
  } finally {
    rmSync(path.join(project, build), { recursive: true, force: true });
  }
  return { stackName: `heapcatch-${options.stage}` };
}

/**
 * Removes a deployed stack with the serverless program. Bucket and key stay, with what is in them.
 * @throws CaptureError InvalidConfiguration with the program's last lines.
 */
export async function removeStack(options: {
  stage: string;
  env: Readonly<Record<string, string>>;
}): Promise<void> {
  await serverless(['remove', '--stage', options.stage], options.env, undefined);
}

async function serverless(
  args: readonly string[],
  env: Readonly<Record<string, string>>,
  stop: AbortSignal | undefined,
): Promise<void> {
  const program = path.join(project, 'node_modules/.bin/serverless');
  const child = spawn(process.execPath, [program, ...args], {
    cwd: project,
    env: { ...process.env, ...env, CI: '1', SLS_TELEMETRY_DISABLED: '1' },
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: deployDeadlineSeconds * 1000,
    ...(stop === undefined ? {} : { signal: stop }),
  });
  let said = '';
  const keep = (chunk: Buffer): void => {
    said = (said + chunk.toString()).slice(-8_000);
  };
  child.stdout.on('data', keep);
  child.stderr.on('data', keep);
  const code = await new Promise<number | null>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', resolve);
  });
  if (code !== 0) {
    throw new CaptureError(
      'InvalidConfiguration',
      `serverless ${args[0] ?? ''} ended with ${code ?? 'a signal'}: ${said.trim().split('\n').slice(-12).join('\n')}`,
    );
  }
}
