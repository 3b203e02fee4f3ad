import { memoryHeadroom, type CgroupFacts } from './cgroup-limits.ts';
import type { LayoutChoice } from './attacher-handshake.ts';
import { leastGrowthBytes, spareBytes } from './work-plan.ts';

/**
 * What attacher and uploader take beyond what they have when they meet, before the first byte of a dump: the uploader
 * 17 MiB, the attacher 6 (docs/decisions/jvm-end.md).
 */
const loadBytes = 24 * 1024 * 1024;

/** Of the moment in which attacher and uploader have met and loaded nothing else. Absent: not known. */
export interface LayoutFacts {
  /** Of the JVM's container, which stands for the pod: what it has left is the least that the pod has left. */
  readonly jvm: CgroupFacts | undefined;
  readonly attacherUsedBytes: number | undefined;
  readonly uploaderUsedBytes: number | undefined;
}

/**
 * `split` where the pod has room for both and the smallest shape of a dump, `single` where it has not, or where that is
 * not known: two processes must not be why the JVM is OOM-killed.
 */
export function chooseLayout({
  jvm,
  attacherUsedBytes,
  uploaderUsedBytes,
}: LayoutFacts): LayoutChoice {
  const jvmRoom = memoryHeadroom(jvm?.memory ?? []);
  if (jvmRoom === 'none') return { layout: 'split', reason: 'the JVM has no memory limit' };
  if (jvmRoom === undefined || attacherUsedBytes === undefined || uploaderUsedBytes === undefined) {
    return { layout: 'single', reason: 'the memory that is left is not known' };
  }
  const headroomBytes = Math.max(0, jvmRoom - attacherUsedBytes - uploaderUsedBytes);
  const neededBytes = loadBytes + leastGrowthBytes + spareBytes;
  const layout = headroomBytes >= neededBytes ? 'split' : 'single';
  return { layout, reason: `${headroomBytes} bytes of headroom for ${neededBytes}` };
}
