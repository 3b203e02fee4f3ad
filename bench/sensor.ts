import { spawn } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { sensorReportSchema } from '../lib/signal/sensor-report.ts';
import { cgroupLine } from '../test/agent/proc-folder.ts';
import { podUid } from '../test/agent/tickets.ts';
import { Lab } from './lab.ts';
import { metricOf, type Metric } from './report.ts';
import { benchJdks, repeatCount, say, wholeNumber } from './settings.ts';

/** Of one core, for one JVM. */
const targetShare = 0.001;
const warmUpMilliseconds = 20_000;
const windowMilliseconds = 30_000;

/**
 * CPU time of the deployed agent that watches HEAPCATCH_BENCH_JVMS (100) JVMs and does nothing else, for each of them and
 * second: reading, looking for new processes, reports and all. They are one real JVM of each JDK, allocating, under as
 * many process ids as needed, each in a container of its own.
 */
export function benchSensor(): Promise<readonly Metric[]> {
  const count = wholeNumber('HEAPCATCH_BENCH_JVMS', 100, 1, 250);
  return Lab.use(async (lab) => {
    const jvms = [];
    for (const jdk of benchJdks()) {
      jvms.push(await lab.startJvm(jdk, 'arrays', 32, { allocating: true }));
    }
    const procRoot = join(lab.folder, 'proc');
    mkdirSync(procRoot);
    for (let index = 0; index < count; index += 1) {
      showProcess(procRoot, 1_000_000 + index, jvms[index % jvms.length]?.pid ?? 0, index);
    }
    const forwarder = await startForwarder();
    const agent = startAgent(lab, procRoot, forwarder.url);
    try {
      await wait(warmUpMilliseconds);
      const pairs = [];
      for (let repeat = 0; repeat < repeatCount(); repeat += 1) {
        const [cpu, clock] = [cpuSeconds(agent.pid), performance.now()];
        await wait(windowMilliseconds);
        const seconds = (performance.now() - clock) / 1_000;
        const share = (cpuSeconds(agent.pid) - cpu) / seconds / count;
        say(JSON.stringify({ repeat, share, containers: forwarder.containerCount() }));
        pairs.push({ ours: share, reference: targetShare });
      }
      if (forwarder.containerCount() !== count) {
        throw new Error(`the agent reported ${forwarder.containerCount()} of ${count} JVMs`);
      }
      return [metricOf('sensor/core-share', pairs)];
    } finally {
      agent.kill();
      forwarder.close();
    }
  });
}

function showProcess(procRoot: string, pid: number, jvm: number, index: number): void {
  const folder = join(procRoot, String(pid));
  mkdirSync(folder);
  for (const name of ['cmdline', 'exe', 'maps', 'stat', 'status']) {
    symlinkSync(`/proc/${jvm}/${name}`, join(folder, name));
  }
  symlinkSync(`/proc/${jvm}/root`, join(folder, 'root'));
  const own = readFileSync(`/proc/${jvm}/cgroup`, 'utf8');
  writeFileSync(
    join(folder, 'cgroup'),
    own + cgroupLine(podUid, index.toString(16).padStart(64, '0')),
  );
}

/** Takes every report, and knows which containers it has heard of. */
async function startForwarder() {
  const containers = new Set<string>();
  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      const report = sensorReportSchema.parse(JSON.parse(Buffer.concat(chunks).toString()));
      for (const { runtimeID } of report.containers) containers.add(runtimeID);
      response.end('{}');
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    containerCount: () => containers.size,
    close: () => server.close(),
  };
}

function startAgent(lab: Lab, procRoot: string, forwarderUrl: string) {
  const tokenFile = join(lab.folder, 'token');
  writeFileSync(tokenFile, 'token');
  const child = spawn(process.execPath, [lab.agentFile, 'serve'], {
    stdio: ['ignore', 'ignore', 'ignore'],
    env: {
      HEAPCATCH_PROC_ROOT: procRoot,
      HEAPCATCH_SOCKET: join(lab.folder, 'agent.sock'),
      HEAPCATCH_FORWARDER_URL: forwarderUrl,
      HEAPCATCH_TOKEN_FILE: tokenFile,
      HEAPCATCH_NODE_NAME: 'bench',
    },
  });
  if (child.pid === undefined) throw new Error('the agent has no process id');
  return { pid: child.pid, kill: () => child.kill('SIGKILL') };
}

/** Of all threads, to the nanosecond; /proc/<pid>/stat counts hundredths. Source: sched-stats of the kernel's documentation. */
function cpuSeconds(pid: number): number {
  const folder = `/proc/${pid}/task`;
  return readdirSync(folder).reduce((sum, thread) => {
    const [nanoseconds] = readFileSync(join(folder, thread, 'schedstat'), 'utf8').split(' ');
    return sum + Number(nanoseconds) / 1e9;
  }, 0);
}
