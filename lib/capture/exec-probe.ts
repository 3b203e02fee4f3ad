import { refused, type Refusal } from './agent-reply.ts';

/** What the application's container has, as the probe reported it. What it did not say is absent. */
export interface ExecProbe {
  missingTools: readonly string[];
  java?: string;
  /** Of the `release` file: `17.0.15`, `1.8.0_412`. */
  javaMajor?: number;
  jcmd?: string;
  uid?: number;
  /** Best first, in the order in which they were asked for. */
  writableDirectories: readonly string[];
  memoryLimitBytes?: number;
  /** Without the page cache, which gives way. */
  memoryUsedBytes?: number;
}

/** Its peak was 54 MiB, of which 30 are its own (docs/decisions/exec.md). */
export const agentMemoryBytes = 64 * 1024 * 1024;
/** jcmd is a second JVM beside it. */
export const jcmdMemoryBytes = 48 * 1024 * 1024;
/** The JVM that serves what is relayed, likewise. */
export const relayMemoryBytes = 48 * 1024 * 1024;
/** cgroup v1 prints a number near 2^63 where there is no limit, v2 the word `max`. */
const maxLimitBytes = 2 ** 50;
/** UnixDomainSocketAddress came with it. */
const firstSocketMajor = 16;

/** `undefined` for an output that is not the probe's, or whose end was lost. */
export function parseProbe(stdout: string): ExecProbe | undefined {
  const values = new Map<string, string[]>();
  for (const line of stdout.split('\n').slice(0, 200)) {
    const [, key, value] = /^([a-zA-Z]{1,30})=(.{0,1024})$/.exec(line) ?? [];
    if (key === undefined || value === undefined) continue;
    values.set(key, [...(values.get(key) ?? []), value]);
  }
  if (!values.has('end')) return undefined;
  const one = (key: string): string | undefined => values.get(key)?.[0];
  const number = (key: string): number | undefined => wholeNumber(one(key));
  const [, major] = /^"?(?:1\.)?(\d{1,3})/.exec(one('javaVersion') ?? '') ?? [];
  const fileBytes = (values.get('fileBytes') ?? []).map((text) => wholeNumber(text) ?? 0);
  const [usedBytes, limitBytes, uid] = [number('usedBytes'), number('limitBytes'), number('uid')];
  const [java, jcmd] = [absolute(one('java')), absolute(one('jcmd'))];
  return {
    missingTools: values.get('missing') ?? [],
    ...(java !== undefined && { java }),
    ...(major !== undefined && { javaMajor: Number(major) }),
    ...(jcmd !== undefined && { jcmd }),
    ...(uid !== undefined && { uid }),
    writableDirectories: values.get('writable') ?? [],
    ...(limitBytes !== undefined && limitBytes < maxLimitBytes && { memoryLimitBytes: limitBytes }),
    ...(usedBytes !== undefined && {
      memoryUsedBytes: Math.max(0, usedBytes - fileBytes.reduce((sum, bytes) => sum + bytes, 0)),
    }),
  };
}

function wholeNumber(text: string | undefined): number | undefined {
  return text !== undefined && /^\d{1,19}$/.test(text) ? Number(text) : undefined;
}

function absolute(path: string | undefined): string | undefined {
  return path?.startsWith('/') ? path : undefined;
}

export interface ExecChoice {
  outcome: 'chosen';
  java: string;
  jcmd?: string;
  directory: string;
}

/** With what the agent is started there, or why it cannot be: the first reason that holds. */
export function chooseExecStart(
  probe: ExecProbe,
  { isRelayed = false }: { isRelayed?: boolean } = {},
): ExecChoice | Refusal {
  const { missingTools, java, javaMajor, jcmd, writableDirectories } = probe;
  const { memoryLimitBytes, memoryUsedBytes, uid } = probe;
  if (java === undefined) return refused('JavaMissing', 'the container has no java that is found');
  if (missingTools.length > 0) {
    return refused('ShellToolsMissing', `the container has no ${missingTools.join(', no ')}`);
  }
  const needsJcmd = javaMajor !== undefined && javaMajor < firstSocketMajor;
  if (needsJcmd && jcmd === undefined) {
    return refused(
      'AttachClientUnavailable',
      `Java ${javaMajor} has no unix sockets and the image has no jcmd; accepted are Java ${firstSocketMajor} and later, or any with jcmd`,
    );
  }
  const [directory] = writableDirectories;
  if (directory === undefined) {
    return refused(
      'NoWritableDirectory',
      `uid ${uid ?? 'unknown'} may write to none of the directories`,
    );
  }
  if (memoryLimitBytes !== undefined && memoryUsedBytes !== undefined) {
    const freeBytes = memoryLimitBytes - memoryUsedBytes;
    const neededBytes =
      agentMemoryBytes + (needsJcmd ? jcmdMemoryBytes : 0) + (isRelayed ? relayMemoryBytes : 0);
    if (freeBytes < neededBytes) {
      return refused(
        'MemoryHeadroomTooSmall',
        `the container uses ${memoryUsedBytes} of ${memoryLimitBytes} bytes; the agent needs ${neededBytes}`,
      );
    }
  }
  return { outcome: 'chosen', java, ...(jcmd !== undefined && { jcmd }), directory };
}
