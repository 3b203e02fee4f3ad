import { spawn, type ChildProcess } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import {
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  writeFileSync,
} from 'node:fs';
import { createServer, type AddressInfo } from 'node:net';
import { homedir } from 'node:os';
import path from 'node:path';
import { eventually, run } from './shell.ts';

const cache = path.join(
  process.env['XDG_CACHE_HOME'] ?? path.join(homedir(), '.cache'),
  'heapcatch/monitoring',
);

const jmxExporter = {
  url: 'https://repo1.maven.org/maven2/io/prometheus/jmx/jmx_prometheus_javaagent/1.0.1/jmx_prometheus_javaagent-1.0.1.jar',
  sha256: '7d61f737fd661610ccc14aea79764faa1ea94a340cbc8f0029b3d2edea3d80c1',
};

/** The JMX exporter's Java agent, downloaded once and checked. */
export async function jmxExporterJar(): Promise<string> {
  const file = path.join(cache, path.basename(jmxExporter.url));
  if (!existsSync(file)) {
    mkdirSync(cache, { recursive: true });
    const answer = await fetch(jmxExporter.url, { signal: AbortSignal.timeout(120_000) });
    if (!answer.ok) throw new Error(`${jmxExporter.url}: ${answer.status}`);
    const part = `${file}.${process.pid}.part`;
    writeFileSync(part, new Uint8Array(await answer.arrayBuffer()));
    renameSync(part, file);
  }
  const digest = createHash('sha256').update(readFileSync(file)).digest('hex');
  if (digest !== jmxExporter.sha256) throw new Error(`${file} has the SHA-256 ${digest}`);
  return file;
}

export interface Programs {
  prometheus: string;
  alertmanager: string;
  promtool: string;
  amtool: string;
}

/**
 * Prometheus and Alertmanager of Debian's packages, installed if lacking. Unpacking them elsewhere is not enough: Alertmanager
 * looks for its templates under /usr/share. Where systemd runs, the packages start services of their own; those are left alone.
 */
export async function monitoringPrograms(): Promise<Programs> {
  const programs = {
    prometheus: '/usr/bin/prometheus',
    alertmanager: '/usr/bin/prometheus-alertmanager',
    promtool: '/usr/bin/promtool',
    amtool: '/usr/bin/amtool',
  };
  if (Object.values(programs).every((file) => existsSync(file))) return programs;
  const env = { DEBIAN_FRONTEND: 'noninteractive' };
  const packages = ['prometheus', 'prometheus-alertmanager'];
  await run('apt-get', ['update', '-qq'], { timeoutSeconds: 180 });
  const install = ['install', '-y', '-qq', '--no-install-recommends', ...packages];
  await run('apt-get', install, { env, timeoutSeconds: 300 });
  return programs;
}

/** A program that serves HTTP on this machine, ready; `close` ends it. */
export interface Service {
  url: string;
  close(): Promise<void>;
}

/**
 * @param argsOf of the address on which it is to listen.
 * @param host this machine's address for whoever asks; itself unless given.
 */
export async function startService(
  program: string,
  folder: string,
  argsOf: (address: string) => readonly string[],
  host = '127.0.0.1',
): Promise<Service> {
  const address = `${host}:${await freePort(host)}`;
  const logFile = path.join(folder, `${path.basename(program)}.log`);
  const log = openSync(logFile, 'w');
  const child = spawn(program, [...argsOf(address)], { stdio: ['ignore', log, log], cwd: folder });
  closeSync(log);
  const close = async (): Promise<void> => {
    if (!running(child)) return;
    const ended = once(child, 'exit');
    child.kill('SIGTERM');
    await ended;
  };
  try {
    await eventually(`${program} is ready`, 60, async () => {
      if (!running(child)) throw new Error(readFileSync(logFile, 'utf8').slice(-1_000));
      const answer = await fetch(`http://${address}/-/ready`);
      return answer.ok ? true : undefined;
    });
  } catch (error) {
    await close();
    throw error;
  }
  return { url: `http://${address}`, close };
}

function running(child: ChildProcess): boolean {
  return child.exitCode === null && child.signalCode === null;
}

async function freePort(host: string): Promise<number> {
  const server = createServer().listen(0, host);
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}
