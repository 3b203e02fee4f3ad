import type { CaptureRecord } from '../claim/capture-record.ts';
import { isMemoryOrJvm, type EndVerdict } from '../policy/end-of-life.ts';
import { verdictOf } from '../signal/ending.ts';
import type { Manifest } from './manifest.ts';

/** The end of a life whose leftovers were looked for. */
export interface Ending {
  verdict: EndVerdict;
  /** It is worth an index entry, whatever was found: memory or the JVM is the cause, and it is known to have been a JVM, or to
   *  be put on record for its own sake. An OOMKilled container without a JVM is nobody's business here. */
  matters: boolean;
}

/** As HotSpot names a dump that it writes at an OutOfMemoryError. Source: heapDumper.cpp. */
const ownDumpName = /\/java_pid\d+\.hprof$/;
/** Kubernetes tells whole seconds. */
const slackMilliseconds = 2_000;

/** The verdict, with what the agent found; `undefined` of a capture of a running JVM. */
export function endingOf(
  { termination, signal, started }: CaptureRecord,
  manifest: Manifest | undefined,
): Ending | undefined {
  if (termination === undefined) return undefined;
  const { crash, leftover } = manifest ?? {};
  const begin = Date.parse(termination.startedTime ?? '') - slackMilliseconds;
  // An older dump in the same volume is another life's.
  const heapDumpLeft =
    leftover !== undefined &&
    ownDumpName.test(leftover.path) &&
    !(Date.parse(leftover.modifiedTime) < begin);
  const verdict = verdictOf(signal, termination, { ...(crash && { crash }), heapDumpLeft });
  const onRecord = started === undefined && manifest !== undefined;
  const sawJvm = manifest?.times.jvmFoundTime !== undefined;
  return { verdict, matters: onRecord || (sawJvm && isMemoryOrJvm(verdict.cause)) };
}
