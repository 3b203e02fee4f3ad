import type { ContainerFacts } from './pod-facts.ts';
import { endArtifacts, type Artifact, type Policy } from './policy.ts';
import { skip, type Skip } from './skip.ts';

/** A place of the container that outlives it, in the container's own view. */
export interface LeftoverDirectory {
  path: string;
  /** hostPath and PersistentVolumeClaim: what lies there can be another pod's, or kept on purpose. */
  outlivesPod: boolean;
}

const maxDirectoryCount = 16;

/**
 * The writable volumes of a container: only what lies there is still there in the container's next life. Its own
 * layer is gone with it. Memory volumes count as well: they live as long as the pod.
 */
export function leftoverDirectories(container: ContainerFacts): LeftoverDirectory[] {
  return container.volumeMounts
    .filter(({ readOnly, volumeType }) => !readOnly && volumeType !== 'other')
    .slice(0, maxDirectoryCount)
    .map(({ mountPath, volumeType }) => ({
      path: mountPath,
      outlivesPod: volumeType === 'hostPath' || volumeType === 'persistentVolumeClaim',
    }));
}

/**
 * Why there is nothing to look for after the end of a container's life; `undefined` when it can have left a dump.
 * Any end but a clean one can: exit code 3 is `-XX:+ExitOnOutOfMemoryError`, 134 a crash or
 * `-XX:+CrashOnOutOfMemoryError`, and a JVM that dumped and lived on was killed later, with 137 or 143.
 */
export function skippedLeftovers(policy: Policy, container: ContainerFacts): Skip | undefined {
  const { containerName, lastTermination } = container;
  if (policy.leftovers === 'ignore') {
    return skip('LeftoversNotWanted', 'the policy says leftovers: ignore');
  }
  if (leftoverArtifacts(policy).length === 0) {
    return skip('LeftoversNotWanted', 'the policy asks for nothing that an ended life leaves');
  }
  if (lastTermination?.exitCode === 0) {
    const message = `container ${containerName} ended with exit code 0: its heap is gone, and it had no trouble to dump for`;
    return skip('HeapAlreadyGone', message);
  }
  return undefined;
}

/** Pieces of memory stand in both: strings in registers, whatever the application prints. */
const notRedactable: ReadonlySet<Artifact> = new Set(['crashLog', 'previousLog']);

/** What the policy wants of an ended life, in the order of collection. Where dumps are redacted, no text is taken that is not. */
export function leftoverArtifacts({ evidence, redact }: Policy): Artifact[] {
  const kinds: readonly Artifact[] = ['heapDump', ...endArtifacts];
  return kinds.filter(
    (artifact) =>
      evidence.includes(artifact) && !(redact !== 'none' && notRedactable.has(artifact)),
  );
}
