import type { ContainerFacts, VolumeMountFacts } from '../policy/pod-facts.ts';

/** A place of the target container, as the plan judged it. Paths are in the container's own view. */
export interface RefusedDirectory {
  path: string;
  /** CamelCase, then the numbers in bytes where numbers decided. */
  reason: string;
}

export interface DirectoryPlan {
  /** Best first; at most 16, as the ticket allows. The agent checks each again before it writes. */
  directories: readonly string[];
  refusedDirectories: readonly RefusedDirectory[];
}

const maxDirectoryCount = 16;
/** A volume that a dump fills to the brim evicts the pod: ask for a fifth more than is expected. */
const emptyDirHeadroom = 1.2;
const rank = { emptyDir: 0, hostPath: 1, persistentVolumeClaim: 1, other: 2, memory: 2 } as const;

/**
 * Where a dump of this container may be written: emptyDir volumes, then other disks, then /tmp of the image.
 * A memory volume is never among them: a dump there counts to the memory limit and OOM-kills the JVM.
 * emptyDir and the image's own layer count to the container's ephemeral-storage limit, so that a limit below
 * the expected size refuses them.
 */
export function planDirectories(container: ContainerFacts, expectedBytes: number): DirectoryPlan {
  const directories: { path: string; rank: number }[] = [];
  const refusedDirectories: RefusedDirectory[] = [];
  const limit = container.ephemeralStorageLimitBytes;
  const overLimit =
    limit !== undefined && limit < expectedBytes
      ? `EphemeralStorageLimitTooSmall: limit ${limit} bytes, dump ${expectedBytes} bytes expected`
      : undefined;
  const judge = (path: string, refusal: string | undefined, place: number): void => {
    if (refusal === undefined) directories.push({ path, rank: place });
    else refusedDirectories.push({ path, reason: refusal });
  };
  for (const mount of container.volumeMounts) {
    judge(mount.mountPath, refusalOf(mount, expectedBytes, overLimit), rank[mount.volumeType]);
  }
  // A mount at /tmp has been judged above: the image's own /tmp lies hidden under it.
  if (!container.volumeMounts.some((mount) => mount.mountPath.replace(/\/+$/, '') === '/tmp')) {
    judge('/tmp', container.readOnlyRootFilesystem ? 'RootFilesystemReadOnly' : overLimit, 3);
  }
  directories.sort((one, other) => one.rank - other.rank);
  return {
    directories: directories.slice(0, maxDirectoryCount).map(({ path }) => path),
    refusedDirectories,
  };
}

function refusalOf(
  mount: VolumeMountFacts,
  expectedBytes: number,
  overLimit: string | undefined,
): string | undefined {
  if (mount.readOnly) return 'ReadOnly';
  if (mount.volumeType === 'memory') return 'MemoryVolume';
  // Secrets, config maps and projected tokens: read-only whatever the mount says.
  if (mount.volumeType === 'other') return 'VolumeTypeUnknown';
  // Ours is a temporary file; with a subPath it would land in a directory that other pods may share.
  if (mount.subPath !== undefined && mount.volumeType !== 'emptyDir') return 'SubPath';
  if (mount.volumeType !== 'emptyDir') return undefined;
  const needed = Math.ceil(expectedBytes * emptyDirHeadroom);
  if (mount.sizeLimitBytes !== undefined && mount.sizeLimitBytes < needed) {
    return `SizeLimitTooSmall: limit ${mount.sizeLimitBytes} bytes, ${needed} bytes needed`;
  }
  return overLimit;
}
