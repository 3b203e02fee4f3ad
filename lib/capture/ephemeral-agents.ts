import type { CaptureRecord } from '../claim/capture-record.ts';
import type { ContainerFacts } from '../policy/pod-facts.ts';
import type { EphemeralAgent } from './ports.ts';

type Container = Pick<ContainerFacts, 'volumeMounts'>;

/** The volumes among the planned directories. An ephemeral container may not mount a subPath. */
function mountsOf(container: Container, directories: readonly string[]) {
  return container.volumeMounts.filter(
    (mount) => mount.subPath === undefined && directories.includes(mount.mountPath),
  );
}

/**
 * The volumes in which attacher and uploader can meet: an emptyDir is of this pod alone and on the node's own disk,
 * which every kernel gives sockets; a network file system may not, and other pods may write to it.
 */
function meetingPlacesOf(container: Container, directories: readonly string[]): string[] {
  return mountsOf(container, directories)
    .filter(({ volumeType }) => volumeType === 'emptyDir')
    .map(({ mountPath }) => mountPath);
}

export interface EphemeralAgentOrder {
  containerName: string;
  targetContainerName: string;
  image: string;
  runAsUser: number;
  runAsGroup: number;
  container: Container;
  directories: readonly string[];
  ticketUrl: string;
  /** Shared by attacher and uploader alone, 64 hexadecimal digits. */
  attacherKey: string;
  record: Pick<CaptureRecord, 'containerID' | 'captureDeadlineTime' | 'termination'>;
}

/**
 * The ephemeral containers of one capture: uploader and attacher where the dump can lie in a volume that outlives the
 * JVM, which then find out by themselves whether the pod has room for both; else one. What an ended life left is there
 * already, and its JVM is not asked to write anything.
 *
 * The uploader comes first, since a kill may fall between their starts: an uploader without an attacher says so and ends
 * the capture; the reverse would say nothing. The attacher gets no URL: its environment can be read by the application's
 * processes.
 */
export function ephemeralAgentsOf(order: EphemeralAgentOrder): readonly EphemeralAgent[] {
  const { containerName, targetContainerName, container, directories, ticketUrl, record } = order;
  const { image, runAsUser, runAsGroup } = order;
  const mounts = mountsOf(container, directories);
  const uploader = {
    ...{ containerName, image, runAsUser, runAsGroup },
    env: { HEAPCATCH_TICKET_URL: ticketUrl },
    volumeMounts: mounts.map(({ volumeName, mountPath }) => ({ volumeName, mountPath })),
  };
  const places = record.termination === undefined ? meetingPlacesOf(container, directories) : [];
  if (places.length === 0) return [{ ...uploader, targetContainerName }];
  const shared = {
    HEAPCATCH_ATTACHER_KEY: order.attacherKey,
    HEAPCATCH_ATTACHER_DIRECTORIES: places.join('\n'),
    HEAPCATCH_CONTAINER_ID: record.containerID,
    HEAPCATCH_DEADLINE_TIME: record.captureDeadlineTime,
  };
  // All volumes, since it may have to go on as the single agent.
  const attacher: EphemeralAgent = {
    ...uploader,
    containerName: `${containerName}-attach`,
    targetContainerName,
    args: ['attach'],
    env: shared,
  };
  return [{ ...uploader, env: { ...uploader.env, ...shared } }, attacher];
}
