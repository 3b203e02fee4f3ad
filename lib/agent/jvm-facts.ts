import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { Manifest } from '../capture/manifest.ts';
import { heapInfoCommand, vmVersionCommand } from '../jvm/diagnostic-commands.ts';
import { parseVmVersion } from '../jvm/diagnostic-replies.ts';
import { parseHeapInfo } from '../jvm/heap-info.ts';
import { jvmSummary, parsePerfData, type PerfData } from '../jvm/hsperfdata.ts';
import type { AttachedJvm } from './attach.ts';
import { inside, openDirectoryInside, openRegularFile } from './container-path.ts';
import { readBounded, type ProcessFacts } from './process-facts.ts';

export type JvmFacts = NonNullable<Manifest['jvm']>;

const maxPerfDataBytes = 1024 * 1024;
const questionTimeoutSeconds = 10;

/**
 * Whether the JVM was started with -XX:+DisableAttachMechanism. Looked for before SIGQUIT is sent, since such a
 * JVM would only print its threads and never open a socket. Source: the counters java.rt.vmArgs and
 * java.rt.vmFlags (which know of options from files), the command line, and the options in the environment.
 */
export async function attachIsDisabled(procRoot: string, jvm: ProcessFacts): Promise<boolean> {
  const folder = join(procRoot, String(jvm.pid));
  const counters = await readPerfData(folder, jvm);
  if (counters) {
    return disabledBy(`${counters.get('java.rt.vmFlags')} ${counters.get('java.rt.vmArgs')}`);
  }
  const environment = (await readBounded(join(folder, 'environ'), 1024 * 1024))?.toString() ?? '';
  const options = environment
    .split('\0')
    .filter((entry) => /^(?:JAVA_TOOL_OPTIONS|JDK_JAVA_OPTIONS|_JAVA_OPTIONS)=/.test(entry));
  const cmdline = await readBounded(join(folder, 'cmdline'), 1024 * 1024);
  return disabledBy(`${options.join(' ')} ${cmdline?.toString().replaceAll('\0', ' ') ?? ''}`);
}

/** The last of several options is the one that counts. */
function disabledBy(options: string): boolean {
  return (
    options
      .match(/-XX:[+-]DisableAttachMechanism\b/g)
      ?.at(-1)
      ?.startsWith('-XX:+') ?? false
  );
}

/**
 * The JVM's performance counters; `undefined` where it keeps none that can be read (-XX:-UsePerfData,
 * -XX:+PerfDisableSharedMem).
 * @param folder `<procRoot>/<pid>`.
 */
export async function readPerfData(
  folder: string,
  jvm: ProcessFacts,
): Promise<PerfData | undefined> {
  const root = join(folder, 'root');
  try {
    const tmp = await openDirectoryInside(root, '/tmp');
    const users = await readdir(inside(tmp, '.')).finally(() => tmp.close());
    for (const user of users.filter((name) => name.startsWith('hsperfdata_')).slice(0, 50)) {
      const found = await readCounters(root, `/tmp/${user}`, jvm);
      if (found) return parsePerfData(found);
    }
  } catch {
    // Without counters the command line is asked.
  }
  return undefined;
}

async function readCounters(
  root: string,
  directoryPath: string,
  jvm: ProcessFacts,
): Promise<Buffer | undefined> {
  const directory = await openDirectoryInside(root, directoryPath);
  try {
    const { file, stats } = await openRegularFile(inside(directory, String(jvm.namespacePid)));
    try {
      if (stats.uid !== jvm.uid || stats.size > maxPerfDataBytes) return undefined;
      const counters = Buffer.alloc(stats.size);
      await file.read(counters, 0, counters.length, 0);
      return counters;
    } finally {
      await file.close();
    }
  } catch {
    return undefined;
  } finally {
    await directory.close();
  }
}

/** Who the JVM is by its counters, without asking it; its pid alone where it keeps none. */
export async function jvmFactsByCounters(procRoot: string, jvm: ProcessFacts): Promise<JvmFacts> {
  const counters = await readPerfData(join(procRoot, String(jvm.pid)), jvm);
  const { vmName, vmVersion, jdkVersion, collector } = counters ? jvmSummary(counters) : {};
  return {
    pid: jvm.pid,
    ...(vmName !== undefined && { vmName }),
    ...(vmVersion !== undefined && { vmVersion }),
    ...(jdkVersion !== undefined && { jdkVersion }),
    ...(collector !== undefined && { collector }),
  };
}

/** Asks the JVM who it is and how full its heap is. What it does not answer, or not in 10 s, is absent. */
export async function askJvmFacts(
  attached: AttachedJvm,
  pid: number,
  signal: AbortSignal,
): Promise<{ facts: JvmFacts; jdkMajor?: number }> {
  const ask = async (command: string): Promise<string | undefined> => {
    const options = { timeoutSeconds: questionTimeoutSeconds, signal, maxBytes: 20_000 };
    const reply = await attached.run(command, options).catch(() => undefined);
    return reply && Buffer.from(reply.output).toString();
  };
  const versionText = await ask(vmVersionCommand);
  const version = parseVmVersion(versionText ?? '');
  // The JVM runs one command at a time: a second would only wait behind the one that it did not answer.
  const heap =
    versionText === undefined ? undefined : parseHeapInfo((await ask(heapInfoCommand)) ?? '');
  return {
    facts: {
      pid,
      ...(version && { vmName: version.vmName, vmVersion: version.vmVersion }),
      ...(version?.jdkVersion !== undefined && { jdkVersion: version.jdkVersion }),
      ...(heap && { collector: heap.collector }),
      ...(heap?.usedBytes !== undefined && { heapUsedBytes: heap.usedBytes }),
      ...(heap?.committedBytes !== undefined && { heapCommittedBytes: heap.committedBytes }),
      ...(heap?.maxBytes !== undefined && { heapMaxBytes: heap.maxBytes }),
    },
    ...(version?.jdkMajor !== undefined && { jdkMajor: version.jdkMajor }),
  };
}
