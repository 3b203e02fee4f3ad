import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { spawn } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseProbe } from '../../lib/capture/exec-probe.ts';
import { startExecAgent } from '../../lib/capture/start-exec-agent.ts';
import type { ExecResult } from '../../lib/capture/ports.ts';
import type { CaptureRecord } from '../../lib/claim/capture-record.ts';
import { CaptureError } from '../../lib/errors.ts';
import { FakeCluster } from './fake-cluster.ts';

const ticketUrl = 'https://bucket.example/tickets/1?X-Amz-Signature=secret&X-Amz-Date=now%2B';
const jar = Buffer.from(Array.from({ length: 70_000 }, (_, index) => (index * 7) % 256));
const record = {
  captureId: 'abcdefghijklmnop',
  fencingToken: 3,
  namespace: 'shop',
  podName: 'cart-1',
  containerName: 'app',
} as CaptureRecord;

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'heapcatch-exec-'));
  mkdirSync(join(folder, 'dumps'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

/** A java that writes down how it was called, and does what is given, in the words of sh. */
function fakeJava(words: string): string {
  const java = join(folder, 'java');
  const seen = `printf '%s\\n' "$@" >${folder}/args; env >${folder}/env; cat >${folder}/input; for jar; do :; done; cp "$jar" ${folder}/jar`;
  writeFileSync(java, `#!/bin/sh\n${seen}\n${words}\n`);
  chmodSync(java, 0o755);
  return java;
}

/** Runs the scripts in a shell of this machine, as exec would in a container, but answers the probe by itself. */
class ShellCluster extends FakeCluster {
  readonly commands: (readonly string[])[] = [];
  probe = '';
  cutBytes = 0;

  readonly shell: readonly string[];
  readonly env: Record<string, string>;

  constructor(shell: readonly string[], env: Record<string, string>) {
    super();
    this.shell = shell;
    this.env = env;
  }

  override exec: FakeCluster['exec'] = (_target, [, ...args], { stdin = '' }) => {
    this.commands.push(args);
    if (this.commands.length === 1) {
      return Promise.resolve({ exitCode: 0, stdout: this.probe, stderr: '' });
    }
    const bytes = Buffer.from(stdin as Uint8Array);
    return runShell(this.shell, args, bytes.subarray(0, bytes.length - this.cutBytes), this.env);
  };
}

function runShell(
  [program = 'sh', ...first]: readonly string[],
  args: readonly string[],
  input: Uint8Array,
  env: Record<string, string> = {},
): Promise<ExecResult> {
  const child = spawn(program, [...first, ...args], {
    env: { PATH: process.env['PATH'] ?? '', ...env },
  });
  let [stdout, stderr] = ['', ''];
  child.stdout.on('data', (chunk: Buffer) => (stdout += chunk.toString()));
  child.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString()));
  child.stdin.on('error', () => undefined);
  child.stdin.end(input);
  return new Promise((resolve) => {
    child.once('exit', (code) => resolve({ exitCode: code ?? undefined, stdout, stderr }));
  });
}

function start(cluster: FakeCluster, changes: { execAgentJar?: undefined } = {}) {
  return startExecAgent(cluster, {
    ...{ record, directories: ['/dumps'], execAgentJar: jar, ticketUrl, deadlineSeconds: 20 },
    ...changes,
  });
}

const shells = [['dash'], ['bash'], ['busybox', 'sh']].filter(
  ([name = '']) => existsSync(`/bin/${name}`) || existsSync(`/usr/bin/${name}`),
);

describe.each(shells.map((shell) => [shell.join(' '), shell] as const))(
  'startExecAgent in a container with %s',
  (_name, shell) => {
    function cluster(java: string, env: Record<string, string> = {}): ShellCluster {
      const made = new ShellCluster(shell, env);
      made.probe = `java=${java}\nwritable=${folder}/dumps\nend=1\n`;
      return made;
    }
    const left = () => readdirSync(join(folder, 'dumps'));

    it('starts java with the whole jar and the ticket over stdin, and not with the options of the application', async () => {
      const java = fakeJava('echo \'{"outcome":"accepted"}\'');
      const asked = cluster(java, { JAVA_TOOL_OPTIONS: '-Xmx8g', CLASSPATH: '/app' });

      expect(await start(asked)).toEqual({ outcome: 'started' });

      expect(readFileSync(join(folder, 'jar')).equals(jar)).toBe(true);
      expect(readFileSync(join(folder, 'input'), 'utf8')).toBe(
        `${JSON.stringify({ ticketUrl })}\n`,
      );
      expect(readFileSync(join(folder, 'args'), 'utf8')).toContain('-Xmx24m\n');
      expect(readFileSync(join(folder, 'env'), 'utf8')).not.toMatch(/JAVA_TOOL|CLASSPATH|secret/);
      expect(JSON.stringify(asked.commands)).not.toContain('secret');
    });

    it('answers before the agent ends, which lives on', async () => {
      const java = fakeJava(
        `echo '{"outcome":"accepted"}'; exec >/dev/null 2>&1; while [ ! -e ${folder}/go ]; do sleep 0.02; done; : >${folder}/done`,
      );

      expect(await start(cluster(java))).toEqual({ outcome: 'started' });

      expect(existsSync(join(folder, 'done'))).toBe(false);
      writeFileSync(join(folder, 'go'), '');
      while (!existsSync(join(folder, 'done'))) await new Promise((next) => setImmediate(next));
    });

    it('hands on the reason with which the agent refused', async () => {
      const refusal =
        '{"outcome":"refused","reason":"StorageUnreachable","message":"no way to the bucket"}';
      const java = fakeJava(`echo 'a warning'; echo '${refusal}'; exit 3`);

      expect(await start(cluster(java))).toEqual({
        ...{ outcome: 'refused', code: 'StorageUnreachable', message: 'no way to the bucket' },
        retryable: false,
      });
    });

    it('says the words of a java that did not begin, and leaves nothing behind', async () => {
      const java = fakeJava('echo "Error: Could not create the Java Virtual Machine." >&2; exit 1');

      expect(await start(cluster(java))).toMatchObject({
        code: 'AgentStartFailed',
        message: expect.stringContaining(
          'Could not create the Java Virtual Machine',
        ) as unknown as string,
      });
      expect(left()).toEqual([]);
    });

    it('starts nothing when the jar did not come whole, and leaves nothing behind', async () => {
      const asked = cluster(fakeJava('echo \'{"outcome":"accepted"}\''));
      asked.cutBytes = 1;

      expect(await start(asked)).toMatchObject({
        outcome: 'refused',
        message: expect.stringContaining('damaged') as unknown as string,
      });
      expect(existsSync(join(folder, 'args'))).toBe(false);
      expect(left()).toEqual([]);
    });

    it('starts no second agent for the same claim', async () => {
      const java = fakeJava('echo \'{"outcome":"accepted"}\'');

      expect(await start(cluster(java))).toMatchObject({ outcome: 'started' });
      expect(await start(cluster(java))).toMatchObject({ outcome: 'refused' });
    });

    it('looks at this machine: shell tools, java, memory and what may be written to', async () => {
      const looked = new FakeCluster();
      let script: readonly string[] = [];
      looked.exec = (_target, [, ...args]) => {
        script = args;
        return Promise.resolve({ exitCode: 1, stdout: '', stderr: 'stop' });
      };
      await start(looked);
      const [flag = '', text = '', name = ''] = script;
      const missing = join(folder, 'absent');

      const args = [flag, text, name, missing, join(folder, 'dumps')];
      const { stdout } = await runShell(shell, args, Buffer.alloc(0));

      const probe = parseProbe(stdout);
      expect(probe?.missingTools).toEqual([]);
      expect(probe?.writableDirectories).toEqual([join(folder, 'dumps')]);
      expect(probe?.java).toMatch(/\/bin\/java$/);
      expect(probe?.javaMajor).toBeGreaterThanOrEqual(8);
      expect(probe?.uid).toBe(process.getuid?.());
    });

    it('says which tools a bare image lacks', async () => {
      const bare = join(folder, 'bin');
      mkdirSync(bare);
      const asked = new FakeCluster();
      asked.exec = (_target, [, ...args]) => {
        const at = shell[0] === 'busybox' ? '/usr/bin/busybox' : `/bin/${shell[0]}`;
        return runShell([at, ...shell.slice(1)], args, Buffer.alloc(0), { PATH: bare });
      };

      const result = await start(asked);

      expect(result).toMatchObject({ outcome: 'refused' });
      expect(['ShellToolsMissing', 'JavaMissing']).toContain(
        'code' in result ? result.code : 'none',
      );
    });
  },
);

describe('startExecAgent', () => {
  it('refuses without the jar, before it asks the cluster anything', async () => {
    const cluster = new FakeCluster();

    expect(await start(cluster, { execAgentJar: undefined })).toMatchObject({
      code: 'ExecAgentNotPackaged',
    });
    expect(cluster.execCommands).toEqual([]);
  });

  it('names a missing shell as that', async () => {
    const cluster = new FakeCluster();
    cluster.execFault = new CaptureError(
      'AgentStartFailed',
      'Cannot create pods/exec: exec: "sh": executable file not found in $PATH: unknown',
    );

    expect(await start(cluster)).toMatchObject({ code: 'ShellMissing', retryable: false });
  });

  it('leaves a fault of the cluster what it is', async () => {
    const cluster = new FakeCluster();
    cluster.execFault = new CaptureError('ClusterForbidden', 'may not create pods/exec');

    expect(await start(cluster)).toMatchObject({ code: 'ClusterForbidden', retryable: false });
  });

  it('calls a delivery without an answer unconfirmed: the agent may be at work', async () => {
    const cluster = new FakeCluster();
    const replies: ExecResult[] = [
      { exitCode: 0, stdout: 'java=/bin/java\nwritable=/tmp\nend=1\n', stderr: '' },
      { exitCode: undefined, stdout: '', stderr: '' },
    ];
    cluster.exec = () => Promise.resolve(replies.shift()!);

    expect(await start(cluster)).toEqual({ outcome: 'unconfirmed' });
  });
});
