import type { CrashFacts } from '../jvm/crash-log.ts';

/** Why a life of a container ended, as a closed set. */
export const endCauses = [
  /** The Java heap was exhausted. */
  'heap',
  /** The process outgrew its limit, or got no more memory, outside of a heap that had room. */
  'offHeap',
  /** The kernel killed it at its memory limit; how full the heap was is not known. */
  'containerMemory',
  /** The JVM, or native code in it, crashed. */
  'jvmCrash',
  /** The kubelet evicted the pod, since the node was short of memory. */
  'nodeMemory',
  /** The kubelet evicted the pod for another resource. */
  'eviction',
  /** The kubelet killed it for a failing probe, and nothing says that memory was short. */
  'probe',
  /** It was asked to end, or ended by itself without an error. */
  'stopped',
  /** The program ended by itself with an error. */
  'application',
  'unknown',
] as const;
export type EndCause = (typeof endCauses)[number];

/** Who had it killed, by the kubelet's own Event; absent while no such Event was seen. */
export const killers = ['livenessProbe', 'startupProbe', 'other'] as const;
export type Killer = (typeof killers)[number];

/** Worst values of the last ten minutes before the end. What was not measured is absent. */
export interface EndHistory {
  readonly heapUsedPercent?: number | undefined;
  readonly heapAfterGcPercent?: number | undefined;
  readonly cgroupUsedPercent?: number | undefined;
  readonly gcTimePercent?: number | undefined;
  readonly fullGcCount?: number | undefined;
}

/** All that a verdict rests on. What is not known is absent. */
export interface EndFacts {
  readonly reason: string;
  readonly exitCode?: number | undefined;
  readonly killedBy?: Killer | undefined;
  /** The kubelet's own words about an eviction. */
  readonly evictionMessage?: string | undefined;
  readonly history?: EndHistory | undefined;
  readonly crash?: CrashFacts | undefined;
  /** The JVM left a heap dump of its own, as -XX:+HeapDumpOnOutOfMemoryError does. */
  readonly heapDumpLeft?: boolean | undefined;
}

export interface EndVerdict {
  readonly cause: EndCause;
  /** One sentence with the numbers that support it, at most 400 characters. */
  readonly explanation: string;
}

const maxExplanationLength = 400;
const maxQuoteLength = 200;
/** A heap that is as full as this after a collection leaves nothing to collect. */
const fullHeapPercent = 90;
/** Of time in collections: the JVM's own limit for an OutOfMemoryError is 98 (GCTimeLimit); probes fail much sooner. */
const gcStormPercent = 50;
/** Below it a heap at its fullest did not fill the container. */
const roomyHeapPercent = 75;

/** -XX:+ExitOnOutOfMemoryError. Source: debug.cpp of OpenJDK, report_java_out_of_memory. */
const outOfMemoryExitCode = 3;
/** 128 and the number of the signal, as container runtimes tell it. Source: signal(7). */
const crashSignals: ReadonlyMap<number, string> = new Map([
  [132, 'SIGILL'],
  [134, 'SIGABRT'],
  [135, 'SIGBUS'],
  [136, 'SIGFPE'],
  [139, 'SIGSEGV'],
]);
const killSignals: ReadonlyMap<number, string> = new Map([
  [137, 'SIGKILL'],
  [143, 'SIGTERM'],
]);

/** Causes for which what is left is worth collecting, and the next life worth watching. */
const memoryOrJvm: ReadonlySet<EndCause> = new Set([
  'heap',
  'offHeap',
  'containerMemory',
  'jvmCrash',
  'nodeMemory',
]);

/** Whether memory or the JVM is the cause. */
export function isMemoryOrJvm(cause: EndCause): boolean {
  return memoryOrJvm.has(cause);
}

/**
 * Why a life ended. Pure and total: any facts get one answer. What says most is asked first: the kubelet's word about
 * an eviction, the JVM's own crash log, the kernel's OOMKilled, the JVM's own exit codes, a dump that it left; then who
 * had it killed, and how full its heap was. An exit code alone does not tell a JVM from another program.
 */
export function judgeEnd(facts: EndFacts): EndVerdict {
  const { cause, words } =
    byEviction(facts) ?? byCrashLog(facts) ?? byKernel(facts) ?? byJvm(facts) ?? byKill(facts);
  const numbers = numbersOf(facts.history);
  const explanation = numbers === '' ? words : `${words}; ${numbers}`;
  return { cause, explanation: explanation.slice(0, maxExplanationLength) };
}

interface Judgement {
  cause: EndCause;
  words: string;
}

function byEviction({ reason, evictionMessage }: EndFacts): Judgement | undefined {
  if (evictionMessage === undefined && reason !== 'Evicted') return undefined;
  const message = quoted(evictionMessage ?? '');
  // `The node was low on resource: memory.`, `The node had condition: [MemoryPressure].` (pkg/kubelet/eviction).
  const ofMemory = /low on resource: memory|MemoryPressure/.test(message);
  const words = `the kubelet evicted the pod: ${message || 'it gave no reason'}`;
  return { cause: ofMemory ? 'nodeMemory' : 'eviction', words };
}

function byCrashLog({ crash }: EndFacts): Judgement | undefined {
  if (crash === undefined) return undefined;
  const cause = quoted(crash.cause ?? 'no cause given');
  const at = crash.frame === undefined ? '' : `, in ${quoted(crash.frame)}`;
  switch (crash.kind) {
    case 'javaOutOfMemory':
      return { cause: 'heap', words: `the crash log says: ${cause}` };
    case 'nativeOutOfMemory':
      return { cause: 'offHeap', words: `the crash log says: ${cause}` };
    case 'signal':
    case 'internalError':
    case 'unknown':
      return { cause: 'jvmCrash', words: `the crash log says: ${cause}${at}` };
    default:
      return crash.kind satisfies never;
  }
}

function byKernel({ reason, history, heapDumpLeft }: EndFacts): Judgement | undefined {
  if (reason !== 'OOMKilled') return undefined;
  const words = 'the kernel killed it at its memory limit (OOMKilled)';
  if (heapDumpLeft || heapWasFull(history)) {
    return { cause: 'heap', words: `${words}, with a full heap` };
  }
  const used = history?.heapUsedPercent;
  if (used !== undefined && used < roomyHeapPercent) {
    return { cause: 'offHeap', words: `${words}, while the heap had room` };
  }
  return { cause: 'containerMemory', words };
}

function byJvm({ exitCode, heapDumpLeft }: EndFacts): Judgement | undefined {
  if (exitCode === outOfMemoryExitCode) {
    const words = 'exit code 3, as of -XX:+ExitOnOutOfMemoryError';
    return { cause: 'heap', words: heapDumpLeft ? `${words}, and it left a heap dump` : words };
  }
  if (heapDumpLeft) {
    return {
      cause: 'heap',
      words: `it left a heap dump of its own and ended with ${exit(exitCode)}`,
    };
  }
  const signal = crashSignals.get(exitCode ?? 0);
  if (signal === undefined) return undefined;
  const orOutOfMemory = exitCode === 134 ? ', or -XX:+CrashOnOutOfMemoryError' : '';
  const words = `${exit(exitCode)} is ${signal}: a crash${orOutOfMemory}`;
  return { cause: 'jvmCrash', words };
}

function byKill({ reason, exitCode, killedBy, history }: EndFacts): Judgement {
  const probe =
    killedBy === 'livenessProbe' ? 'liveness' : killedBy === 'startupProbe' ? 'startup' : undefined;
  const signal = killSignals.get(exitCode ?? 0);
  if (killedBy !== 'other' && exitCode !== 0 && heapWasFull(history)) {
    const by = probe === undefined ? '' : `, killed for its ${probe} probe`;
    return { cause: 'heap', words: `${exit(exitCode)}${by}, with a full heap` };
  }
  if (probe !== undefined) {
    return {
      cause: 'probe',
      words: `the kubelet killed it for its ${probe} probe, ${exit(exitCode)}`,
    };
  }
  if (killedBy === 'other') {
    return { cause: 'stopped', words: `the kubelet stopped it, ${exit(exitCode)}` };
  }
  if (exitCode === 0) return { cause: 'stopped', words: 'it ended by itself with exit code 0' };
  if (signal !== undefined) {
    const words = `${exit(exitCode)} is ${signal}; who sent it is not known`;
    return { cause: 'unknown', words };
  }
  return exitCode === undefined || exitCode < 0
    ? { cause: 'unknown', words: `nothing is known of its end but the reason ${quoted(reason)}` }
    : { cause: 'application', words: `the program ended by itself with ${exit(exitCode)}` };
}

function heapWasFull(history: EndHistory | undefined): boolean {
  const { heapAfterGcPercent = 0, gcTimePercent = 0, heapUsedPercent } = history ?? {};
  if (heapAfterGcPercent >= fullHeapPercent) return true;
  // Collections that run one after the other are for want of heap, unless somebody asks for them in a heap that has room.
  return gcTimePercent >= gcStormPercent && (heapUsedPercent ?? 100) >= roomyHeapPercent;
}

const shownNumbers = [
  ['heapUsedPercent', 'heap used', ' %'],
  ['heapAfterGcPercent', 'heap after GC', ' %'],
  ['cgroupUsedPercent', 'memory limit used', ' %'],
  ['gcTimePercent', 'time in GC', ' %'],
  ['fullGcCount', 'full GCs', ''],
] as const;

function numbersOf(history: EndHistory | undefined): string {
  const shown = shownNumbers.flatMap(([name, words, unit]) => {
    const value = history?.[name];
    return value === undefined || !Number.isFinite(value)
      ? []
      : [`${words} ${Math.round(value * 10) / 10}${unit}`];
  });
  return shown.length === 0 ? '' : `at most in the last ten minutes: ${shown.join(', ')}`;
}

function exit(exitCode: number | undefined): string {
  return exitCode === undefined ? 'an unknown exit code' : `exit code ${exitCode}`;
}

/** Others' words, on one line. */
function quoted(text: string): string {
  return text
    .replace(/[^\u0020-\u007e]+/g, ' ')
    .trim()
    .slice(0, maxQuoteLength);
}
