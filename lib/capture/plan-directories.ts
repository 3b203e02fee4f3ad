import type { ContainerFacts, VolumeMountFacts } from '../policy/pod-facts.ts';
import { withoutEndSlashes } from './mount-path.ts';

/** A place of the target container, as the plan judged it. Paths are in the container's own view. */
export interface RefusedDirectory {
  path: string;
  /** CamelCase. */
  reason: string;
}

export interface DirectoryPlan {
  /** Best first; at most 16, as the ticket allows. The agent checks each again before it writes. */
  directories: readonly string[];
  /** Bytes that a dump in this directory may have, where that is less than the upper estimate. */
  sizeLimits: Readonly<Record<string, number>>;
  refusedDirectories: readonly RefusedDirectory[];
}

const maxDirectoryCount = 16;
/** A volume that a dump fills to the brim evicts the pod: a fifth more than the dump is asked for. */
const limitHeadroom = 1.2;
const rank = { emptyDir: 0, hostPath: 1, persistentVolumeClaim: 1, other: 2, memory: 2 } as const;
const imageRank = 3;
/** Behind all that hold the upper estimate. */
const tightRank = 4;

/**
 * Where a dump of this container may be written: emptyDir volumes, then other disks, then /tmp of the image.
 * A memory volume is never among them: a dump there counts to the memory limit and OOM-kills the JVM.
 * Where a sizeLimit or, for emptyDir and the image's own layer, the container's ephemeral-storage limit lies below the
 * upper estimate, the directory comes last and with its limit: the agent knows the used heap, and may punch holes.
 */
export function planDirectories(container: ContainerFacts, expectedBytes: number): DirectoryPlan {
  const places: { path: string; rank: number; limitBytes: number }[] = [];
  const refusedDirectories: RefusedDirectory[] = [];
  const judge = (path: string, refusal: string | undefined, place: number, limit: number): void => {
    if (refusal !== undefined) {
      refusedDirectories.push({ path, reason: refusal });
      return;
    }
    const limitBytes = Math.floor(limit / limitHeadroom);
    places.push({ path, rank: limitBytes < expectedBytes ? tightRank : place, limitBytes });
  };
  const { ephemeralStorageLimitBytes = Infinity } = container;
  for (const mount of container.volumeMounts) {
    const { sizeLimitBytes = Infinity, volumeType } = mount;
    const limit =
      volumeType === 'emptyDir' ? Math.min(sizeLimitBytes, ephemeralStorageLimitBytes) : Infinity;
    judge(mount.mountPath, refusalOf(mount), rank[volumeType], limit);
  }
  // A mount at /tmp has been judged above: the image's own /tmp lies hidden under it.
  if (!container.volumeMounts.some((mount) => withoutEndSlashes(mount.mountPath) === '/tmp')) {
    const refusal = container.readOnlyRootFilesystem ? 'RootFilesystemReadOnly' : undefined;
    judge('/tmp', refusal, imageRank, ephemeralStorageLimitBytes);
  }
  const best = places.toSorted((one, other) => one.rank - other.rank).slice(0, maxDirectoryCount);
  const tight = best.filter((place) => place.rank === tightRank);
  return {
    directories: best.map(({ path }) => path),
    sizeLimits: Object.fromEntries(tight.map(({ path, limitBytes }) => [path, limitBytes])),
    refusedDirectories,
  };
}

function refusalOf(mount: VolumeMountFacts): string | undefined {
  if (mount.readOnly) return 'ReadOnly';
  if (mount.volumeType === 'memory') return 'MemoryVolume';
  // Secrets, config maps and projected tokens: read-only whatever the mount says.
  if (mount.volumeType === 'other') return 'VolumeTypeUnknown';
  // Ours is a temporary file; with a subPath it would land in a directory that other pods may share.
  if (mount.subPath !== undefined && mount.volumeType !== 'emptyDir') return 'SubPath';
  return undefined;
}
