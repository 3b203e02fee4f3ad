import type { Manifest } from '../capture/manifest.ts';
import type { Rung } from '../policy/policy.ts';
import {
  memoryHeadroom,
  tightestCpuLimit,
  type CgroupFacts,
  type Limit,
  type MemoryLevel,
} from './cgroup-limits.ts';

type Work = NonNullable<Manifest['work']>;
/**
 * How the agent spends CPU time beside a JVM that writes its dump. `overlap`: compresses and sends while it writes.
 * `niced`: the same, at the lowest share of a cgroup that both are in. `heldBack`: begins when the JVM has ended its dump.
 */
export type Pace = Work['pace'];
/** What bounds the agent's memory. `ordered`: the ticket's sizes. `small`: the smallest that S3's parts allow. */
export type Shape = Work['shape'];

export interface WorkFacts {
  readonly rung: Rung;
  /** Absent where the view shows none. */
  readonly own?: CgroupFacts;
  readonly jvm?: CgroupFacts;
  readonly order: DumpOrder;
  /** No kill is expected, and the dump can be read once the JVM has written it. */
  readonly mayWait?: boolean;
}

/** What the ticket asks for. */
export interface DumpOrder {
  readonly blockBytes: number;
  readonly partBytes: number;
  readonly partCount: number;
  /** How large the dump may become. */
  readonly expectedBytes: number;
  /** The JVM may write segments (JDK ≥ 22), each of which is a stream beside the base. */
  readonly segmented: boolean;
}

/** Not even the smallest shape fits. */
export interface NoRoom {
  readonly neededBytes: number;
  readonly headroomBytes: number;
}

export interface ShapeSizes {
  readonly blockBytes: number;
  readonly partBytes: number;
  readonly concurrentPuts: number;
}

const MiB = 1024 * 1024;
const smallSizes: ShapeSizes = {
  blockBytes: 256 * 1024,
  partBytes: 5 * MiB,
  concurrentPuts: 1,
};
/** Contexts of the compressor, garbage between two collections, connections (docs/decisions/agent.md). */
const workingBytes = 12 * MiB;
/** The application goes on allocating outside its heap while it is dumped. */
export const spareBytes = 8 * MiB;

/**
 * Sizes of a shape. The small one never asks for more than the ticket's, and keeps the ticket's parts where smaller ones
 * could not hold the dump if it did not compress.
 */
export function sizesOf(shape: Shape, order: DumpOrder): ShapeSizes {
  const { blockBytes, partBytes, partCount, expectedBytes } = order;
  if (shape === 'ordered') return { blockBytes, partBytes, concurrentPuts: 2 };
  const smallPartsHoldIt = partCount * smallSizes.partBytes > expectedBytes;
  return {
    blockBytes: Math.min(blockBytes, smallSizes.blockBytes),
    partBytes: smallPartsHoldIt ? Math.min(partBytes, smallSizes.partBytes) : partBytes,
    concurrentPuts: smallSizes.concurrentPuts,
  };
}

/** How much the agent's memory grows at most while it saves a dump: each stream's blocks and frames and its open part. */
export function growthBytes(
  { blockBytes, partBytes, concurrentPuts }: ShapeSizes,
  { segmented }: Pick<DumpOrder, 'segmented'>,
): number {
  const streamCount = segmented ? 2 : 1;
  return streamCount * (6 * blockBytes + partBytes) + concurrentPuts * partBytes + workingBytes;
}

/** The least growth of all: the small shape, where the ticket lets it be as small, for a JVM that may write segments. */
export const leastGrowthBytes = growthBytes(smallSizes, { segmented: true });

/** Picks pace and shape. Total: what is not known is taken for the careful case, and the reason says so. */
export function planWork(facts: WorkFacts): Work | NoRoom {
  const headroom = headroomOf(facts);
  const room = typeof headroom === 'number' ? { headroomBytes: headroom } : {};
  for (const shape of ['ordered', 'small'] as const) {
    const neededBytes = growthBytes(sizesOf(shape, facts.order), facts.order) + spareBytes;
    if (typeof headroom === 'number' && headroom < neededBytes) continue;
    const shapeReason = shapeWords(shape, headroom, neededBytes);
    return { ...paceOf(facts), shape, shapeReason, ...room };
  }
  const neededBytes = growthBytes(sizesOf('small', facts.order), facts.order) + spareBytes;
  return { neededBytes, headroomBytes: Number(headroom) };
}

function shapeWords(shape: Shape, headroom: Limit, neededBytes: number): string {
  if (headroom === 'none') return 'no memory limit above the agent';
  if (headroom === undefined) return 'no memory limit is known';
  const words = `${headroom} bytes of headroom for ${neededBytes}`;
  return shape === 'ordered' ? words : `${words}; the ticket's sizes do not fit`;
}

/**
 * A node agent counts to its own pod. In the JVM's pod, the pod's limit is the sum of its containers': the JVM's
 * container alone shows the least that is left, its neighbours keeping within their own limits.
 */
function headroomOf({ rung, own, jvm }: WorkFacts): Limit {
  const ownRoom = memoryHeadroom(own?.memory ?? []);
  if (rung === 'nodeAgent') return ownRoom;
  const podRoom = roomBeside(jvm?.memory ?? [], rung === 'exec' ? 0 : own?.memory[0]?.usedBytes);
  if (typeof ownRoom === 'number' && typeof podRoom === 'number') return Math.min(ownRoom, podRoom);
  return typeof ownRoom === 'number' ? ownRoom : podRoom;
}

function roomBeside(levels: readonly MemoryLevel[], ownUsedBytes = 0): Limit {
  const room = memoryHeadroom(levels);
  return typeof room === 'number' ? Math.max(0, room - ownUsedBytes) : room;
}

/** Measured pauses, as multiples of a bare jcmd's, stand in docs/decisions/agent.md. */
function paceOf({ rung, jvm, order, mayWait }: WorkFacts): { pace: Pace; paceReason: string } {
  if (mayWait)
    return { pace: 'heldBack', paceReason: 'no kill is expected: the pause comes first' };
  if (rung === 'nodeAgent') {
    return { pace: 'overlap', paceReason: "own pod, whose CPU time is not the JVM's" };
  }
  const limit = tightestCpuLimit(jvm?.cpu ?? []);
  if (typeof limit === 'number') {
    const cpus = Math.round(limit * 1_000) / 1_000;
    const quota = `the JVM's quota of ${cpus} CPUs is the pod's as well`;
    // Segments are gone with the merge that follows the dump: they must be read before.
    if (order.segmented) return { pace: 'niced', paceReason: `${quota}; segments cannot wait` };
    return { pace: 'heldBack', paceReason: `${quota}: both would share it` };
  }
  if (limit === undefined) return { pace: 'niced', paceReason: 'no CPU quota is known' };
  return rung === 'exec'
    ? { pace: 'niced', paceReason: 'in the cgroup of a JVM without CPU quota' }
    : { pace: 'overlap', paceReason: 'own cgroup, and a pod without CPU quota' };
}
