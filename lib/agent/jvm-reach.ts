import { join } from 'node:path';
import { CaptureError } from '../errors.ts';
import type { Rung } from '../policy/policy.ts';
import { attach, type AttachedJvm } from './attach.ts';
import type { CgroupFacts } from './cgroup-limits.ts';
import { findJvm, type JvmTarget } from './find-jvm.ts';
import { attachIsDisabled, jvmFactsByCounters, type JvmFacts } from './jvm-facts.ts';
import { readMemoryFacts, type MemoryFacts } from './memory-facts.ts';
import { describeProcesses } from './process-evidence.ts';
import { stillRuns, type ProcessFacts } from './process-facts.ts';
import { askForThreadsInLog } from './threads-in-log.ts';
import { readCgroupOf } from './work-beside.ts';

/**
 * A capture's way to the JVM: through /proc where the agent sees the process, or through an attacher that does.
 * Each question can throw CaptureError AttachFailed when the way is gone, and with it the JVM.
 */
export interface JvmReach {
  /** @throws CaptureError as findJvm does; AttachFailed when there is no way. */
  find(target: JvmTarget): Promise<ProcessFacts>;
  /** @throws CaptureError as attach does; AttachDisabled when the JVM was started so. */
  attach(
    jvm: ProcessFacts,
    options: { timeoutSeconds: number; signal: AbortSignal },
  ): Promise<AttachedJvm>;
  /** Whether the JVM that was found still runs. Never throws. */
  runs(jvm: ProcessFacts): Promise<boolean>;
  /** The root under which the paths of the JVM's container, or those that are shared with it, are found. */
  rootPath(jvm: ProcessFacts): string;
  /** As describeProcesses. */
  describe(pids: readonly number[]): Promise<string>;
  /** As jvmFactsByCounters. */
  factsByCounters(jvm: ProcessFacts): Promise<JvmFacts>;
  /** As readMemoryFacts. */
  memoryFacts(
    jvm: ProcessFacts,
    known: { facts?: JvmFacts | undefined; nativeMemory?: string | undefined },
  ): Promise<MemoryFacts>;
  /** As askForThreadsInLog. */
  askForThreadsInLog(jvm: ProcessFacts): Promise<string>;
  /** What the kernel allows the JVM, as far as it is seen from there. */
  cgroupFacts(jvm: ProcessFacts, rung: Rung): Promise<CgroupFacts | undefined>;
  close(): void;
}

/** The way of an agent that sees the JVM among the processes of procRoot. */
export function directReach(procRoot: string): JvmReach {
  return {
    find: (target) => findJvm(procRoot, target),
    attach: async (jvm, options) => {
      if (await attachIsDisabled(procRoot, jvm)) {
        throw new CaptureError(
          'AttachDisabled',
          `JVM ${jvm.pid} runs with -XX:+DisableAttachMechanism: only its own -XX:+HeapDumpOnOutOfMemoryError can dump it`,
        );
      }
      return attach({ procRoot, jvm, ...options });
    },
    runs: (jvm) => stillRuns(procRoot, jvm),
    rootPath: (jvm) => join(procRoot, String(jvm.pid), 'root'),
    describe: (pids) => describeProcesses(procRoot, pids),
    factsByCounters: (jvm) => jvmFactsByCounters(procRoot, jvm),
    memoryFacts: (jvm, known) => readMemoryFacts(procRoot, jvm, known),
    askForThreadsInLog: (jvm) => askForThreadsInLog(procRoot, jvm),
    cgroupFacts: ({ pid }, rung) => readCgroupOf(procRoot, String(pid), ...views(pid, rung)),
    close: () => undefined,
  };

  /** The node's init shows the whole tree to a node agent; else the JVM's own root shows its container. */
  function views(pid: number, rung: Rung): readonly string[] {
    const container = join(procRoot, String(pid), 'root');
    return rung === 'nodeAgent' ? [join(procRoot, '1/root'), container] : [container];
  }
}
