import type { Manifest } from '../capture/manifest.ts';
import { directMaxBytesOf, judgePressure, type MemoryNumbers } from '../jvm/memory-pressure.ts';
import { jvmSummary } from '../jvm/hsperfdata.ts';
import { committedBytesOf, parseNativeMemory } from '../jvm/native-memory.ts';
import { readContainerMemory } from './container-memory.ts';
import { readPerfData, type JvmFacts } from './jvm-facts.ts';
import { join } from 'node:path';
import { readBounded, type ProcessFacts } from './process-facts.ts';

export type MemoryFacts = NonNullable<Manifest['memory']>;

/**
 * Says where the memory of a JVM is under pressure, from whatever is known: its own answers, as far as it gave any, its
 * performance counters, the kernel's account of the process, and its container's. Nothing is asked of the JVM.
 * @param nativeMemory answer of VM.native_memory, if there was one.
 */
export async function readMemoryFacts(
  procRoot: string,
  jvm: ProcessFacts,
  { facts, nativeMemory = '' }: { facts?: JvmFacts | undefined; nativeMemory?: string | undefined },
): Promise<MemoryFacts> {
  const folder = join(procRoot, String(jvm.pid));
  const counters = await readPerfData(folder, jvm);
  const summary = counters && jvmSummary(counters);
  const native = parseNativeMemory(nativeMemory);
  const container = await readContainerMemory(procRoot, jvm);
  const residentBytes = await readResidentBytes(folder);
  const afterGc = (summary?.gcCount ?? 0) > 0 ? summary?.heapUsedBytes : undefined;
  const heapCommittedBytes = facts?.heapCommittedBytes ?? summary?.heapCommittedBytes;
  const offHeapBytes = native
    ? native.committedBytes - committedBytesOf(native, 'Java Heap')
    : difference(residentBytes, heapCommittedBytes);
  const numbers = withoutAbsent({
    heapUsedBytes: facts?.heapUsedBytes ?? summary?.heapUsedBytes,
    heapUsedAfterGcBytes: afterGc,
    heapCommittedBytes,
    heapMaxBytes: facts?.heapMaxBytes ?? summary?.heapMaxBytes,
    offHeapBytes,
    directBytes: native && committedBytesOf(native, 'Other'),
    directMaxBytes: directMaxBytesOf(String(counters?.get('java.rt.vmArgs'))),
    residentBytes,
    containerUsedBytes: container?.usedBytes,
    containerLimitBytes: container?.limitBytes,
  });
  return { ...judgePressure(numbers), ...numbers };
}

/** A committed heap need not be resident, so that this is the least there can be outside of it. */
function difference(
  resident: number | undefined,
  heapCommitted: number | undefined,
): number | undefined {
  if (resident === undefined || heapCommitted === undefined) return undefined;
  return Math.max(0, resident - heapCommitted);
}

async function readResidentBytes(folder: string): Promise<number | undefined> {
  const status = (await readBounded(join(folder, 'status'), 64 * 1024))?.toString('latin1') ?? '';
  const kibibytes = /^RssAnon:\s*(\d{1,15}) kB$/m.exec(status)?.[1];
  return kibibytes === undefined ? undefined : Number(kibibytes) * 1024;
}

function withoutAbsent(numbers: {
  [Key in keyof MemoryNumbers]: MemoryNumbers[Key] | undefined;
}): MemoryNumbers {
  return Object.fromEntries(Object.entries(numbers).filter(([, value]) => value !== undefined));
}
