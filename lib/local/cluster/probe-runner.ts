import http from 'node:http';
import { setTimeout as delay } from 'node:timers/promises';
import type { ContainerProcess } from './container-process.ts';
import type { Container, HttpGet, Probe } from './pod-schema.ts';

export type Attempt = { ok: true } | { ok: false; message: string };

export interface ProbeTarget {
  process: ContainerProcess;
  podIP: string;
  ports: Container['ports'];
}

/** Waits; `false` when the signal came first. */
export async function sleep(seconds: number, signal: AbortSignal): Promise<boolean> {
  try {
    await delay(seconds * 1_000, undefined, { signal });
    return true;
  } catch {
    return false;
  }
}

/**
 * Runs one probe until the signal: first after initialDelaySeconds, then every periodSeconds. Every failure is
 * reported; a verdict only when it has been the same for successThreshold or failureThreshold attempts in a row.
 */
export async function runProbe(
  probe: Probe,
  target: ProbeTarget,
  report: { failure: (message: string) => void; verdict: (healthy: boolean) => void },
  signal: AbortSignal,
): Promise<void> {
  let run = 0;
  let last: boolean | undefined;
  for (
    let wait = probe.initialDelaySeconds;
    await sleep(wait, signal);
    wait = probe.periodSeconds
  ) {
    const attempt = await attemptOnce(probe, target, signal);
    if (signal.aborted) return;
    run = attempt.ok === last ? run + 1 : 1;
    last = attempt.ok;
    if (!attempt.ok) report.failure(attempt.message);
    if (run >= (attempt.ok ? probe.successThreshold : probe.failureThreshold)) {
      report.verdict(attempt.ok);
    }
  }
}

async function attemptOnce(
  probe: Probe,
  target: ProbeTarget,
  signal: AbortSignal,
): Promise<Attempt> {
  if (probe.httpGet) return httpAttempt(probe.httpGet, target, probe.timeoutSeconds, signal);
  return execAttempt(probe.exec?.command ?? [], target.process, probe.timeoutSeconds);
}

/** A status from 200 to 399 is a success. The messages are the kubelet's, which are Go's. */
export function httpAttempt(
  httpGet: HttpGet,
  target: Pick<ProbeTarget, 'podIP' | 'ports'>,
  timeoutSeconds: number,
  signal: AbortSignal,
): Promise<Attempt> {
  const named = target.ports.find(({ name }) => name === httpGet.port)?.containerPort;
  const port = typeof httpGet.port === 'number' ? httpGet.port : named;
  const host = httpGet.host ?? target.podIP;
  if (port === undefined) {
    return Promise.resolve({ ok: false, message: `couldn't find port: ${httpGet.port}` });
  }
  const url = `http://${host}:${port}${httpGet.path}`;
  return new Promise((resolve) => {
    const deadline = AbortSignal.timeout(timeoutSeconds * 1_000);
    const request = http.get(url, {
      agent: false,
      headers: { 'user-agent': 'kube-probe/1.34' },
      signal: AbortSignal.any([signal, deadline]),
    });
    request.on('response', (response) => {
      response.resume();
      const status = response.statusCode ?? 0;
      if (status >= 200 && status < 400) resolve({ ok: true });
      else resolve({ ok: false, message: `HTTP probe failed with statuscode: ${status}` });
    });
    request.on('error', (error: NodeJS.ErrnoException) => {
      const why = deadline.aborted
        ? 'context deadline exceeded (Client.Timeout exceeded while awaiting headers)'
        : `dial tcp ${host}:${port}: ${goWordsOf(error)}`;
      resolve({ ok: false, message: `Get "${url}": ${why}` });
    });
  });
}

function goWordsOf(error: NodeJS.ErrnoException): string {
  if (error.code === 'ECONNREFUSED') return 'connect: connection refused';
  if (error.code === 'ECONNRESET') return 'read: connection reset by peer';
  return error.message;
}

/** Exit code 0 in time is a success. A command that is too slow is killed. */
export async function execAttempt(
  command: readonly string[],
  process: ContainerProcess,
  timeoutSeconds: number,
): Promise<Attempt> {
  try {
    const child = await process.exec(command);
    let output = '';
    for (const stream of [child.stdout, child.stderr]) {
      stream?.on('data', (chunk: Buffer) => {
        if (output.length < 1_024) output += chunk.toString('utf8');
      });
    }
    child.stdin?.end();
    const deadline = AbortSignal.timeout(timeoutSeconds * 1_000);
    deadline.addEventListener('abort', () => child.kill('SIGKILL'));
    const code = await new Promise<number | null>((resolve) => child.once('exit', resolve));
    if (deadline.aborted) {
      const words = `command timed out: "${command.join(' ')}" timed out after ${timeoutSeconds}s`;
      return { ok: false, message: words };
    }
    return code === 0 ? { ok: true } : { ok: false, message: output };
  } catch (error) {
    return { ok: false, message: `command error: ${(error as Error).message}` };
  }
}
