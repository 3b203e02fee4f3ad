import type {
  ContainerFacts,
  PodFacts,
  ProbeFacts,
  VolumeMountFacts,
  Workload,
} from '../policy/pod-facts.ts';
import { definedFields } from './defined-fields.ts';
import type {
  ContainerObject,
  ContainerStatusObject,
  PodObject,
  ProbeObject,
  VolumeObject,
} from './pod-object.ts';
import { parseQuantity } from './quantity.ts';

const phases = ['Pending', 'Running', 'Succeeded', 'Failed'] as const;
/** The API's own defaults, for objects that never went through it. Source: core/v1 Probe and PodSpec. */
const probeDefaults = { periodSeconds: 10, timeoutSeconds: 1, failureThreshold: 3 };
const defaultGracePeriodSeconds = 30;
const maxMessageLength = 1_024;

/**
 * The facts of a raw pod. Containers are the application's and native sidecars (init containers that restart
 * always); other init containers and ephemeral ones are left out: nothing can be dumped from them.
 */
export function podFactsOf(
  pod: PodObject,
  clusterName: string,
  owner: { workload: Workload; readyReplicaCount?: number },
): PodFacts {
  const { metadata, spec, status = {} } = pod;
  const sidecars = (spec.initContainers ?? []).filter(
    (container) => container.restartPolicy === 'Always',
  );
  const statuses = [...(status.containerStatuses ?? []), ...(status.initContainerStatuses ?? [])];
  const phase: PodFacts['phase'] = phases.find((known) => known === status.phase) ?? 'Unknown';
  return definedFields({
    clusterName,
    namespace: metadata.namespace,
    podName: metadata.name,
    podUid: metadata.uid,
    nodeName: spec.nodeName,
    podIP: status.podIP,
    workload: owner.workload,
    readyReplicaCount: owner.readyReplicaCount,
    phase,
    ready: isReady(pod),
    eviction:
      status.reason === 'Evicted'
        ? { message: (status.message ?? '').slice(0, maxMessageLength) }
        : undefined,
    deletionTime: metadata.deletionTimestamp,
    deletionGracePeriodSeconds: metadata.deletionGracePeriodSeconds,
    terminationGracePeriodSeconds: spec.terminationGracePeriodSeconds ?? defaultGracePeriodSeconds,
    annotations: metadata.annotations ?? {},
    labels: metadata.labels,
    hostNetwork: spec.hostNetwork === true ? (true as const) : undefined,
    containers: [...spec.containers, ...sidecars].map((container) =>
      containerFactsOf(
        pod,
        container,
        statuses.find(({ name }) => name === container.name),
      ),
    ),
  });
}

/** Whether the pod's Ready condition is true. */
export function isReady(pod: PodObject): boolean {
  return (pod.status?.conditions ?? []).some(
    ({ type, status }) => type === 'Ready' && status === 'True',
  );
}

function containerFactsOf(
  pod: PodObject,
  container: ContainerObject,
  status: ContainerStatusObject | undefined,
): ContainerFacts {
  const preStop = container.lifecycle?.preStop;
  const podSecurity = pod.spec.securityContext;
  const security = container.securityContext;
  const user = status?.user?.linux;
  // While a restarted container is down again, its newest end is in `state`.
  const terminated = status?.state?.terminated ?? status?.lastState?.terminated;
  return definedFields({
    containerName: container.name,
    containerID: status?.containerID || undefined,
    running: status?.state?.running !== undefined,
    ready: status?.ready ?? false,
    started: status?.started ?? false,
    restartCount: status?.restartCount ?? 0,
    startedTime: status?.state?.running?.startedAt,
    memoryLimitBytes: parseQuantity(container.resources?.limits?.['memory']),
    ephemeralStorageLimitBytes: parseQuantity(container.resources?.limits?.['ephemeral-storage']),
    livenessProbe: container.livenessProbe && probeFactsOf(container.livenessProbe),
    preStopSeconds: preStop?.sleep?.seconds,
    hasPreStop: preStop !== undefined,
    runAsUser: user?.uid ?? security?.runAsUser ?? podSecurity?.runAsUser,
    runAsGroup: user?.gid ?? security?.runAsGroup ?? podSecurity?.runAsGroup,
    readOnlyRootFilesystem: security?.readOnlyRootFilesystem ?? false,
    volumeMounts: (container.volumeMounts ?? []).map((mount) =>
      volumeMountFactsOf(
        mount,
        (pod.spec.volumes ?? []).find(({ name }) => name === mount.name),
      ),
    ),
    lastTermination:
      terminated &&
      definedFields({
        reason: terminated.reason ?? 'Unknown',
        exitCode: terminated.exitCode ?? 0,
        startedTime: terminated.startedAt ?? undefined,
        finishedTime: terminated.finishedAt ?? undefined,
      }),
  });
}

function probeFactsOf(probe: ProbeObject): ProbeFacts {
  return definedFields({
    periodSeconds: probe.periodSeconds ?? probeDefaults.periodSeconds,
    timeoutSeconds: probe.timeoutSeconds ?? probeDefaults.timeoutSeconds,
    failureThreshold: probe.failureThreshold ?? probeDefaults.failureThreshold,
    initialDelaySeconds: probe.initialDelaySeconds ?? 0,
    terminationGracePeriodSeconds: probe.terminationGracePeriodSeconds,
  });
}

function volumeMountFactsOf(
  mount: NonNullable<ContainerObject['volumeMounts']>[number],
  volume: VolumeObject | undefined,
): VolumeMountFacts {
  return definedFields({
    volumeName: mount.name,
    mountPath: mount.mountPath,
    readOnly: mount.readOnly ?? false,
    volumeType: volumeTypeOf(volume),
    sizeLimitBytes: parseQuantity(volume?.emptyDir?.sizeLimit),
    subPath: mount.subPath,
  });
}

function volumeTypeOf(volume: VolumeObject | undefined): VolumeMountFacts['volumeType'] {
  if (volume?.emptyDir) return volume.emptyDir.medium === 'Memory' ? 'memory' : 'emptyDir';
  if (volume?.hostPath) return 'hostPath';
  // A generic ephemeral volume is a claim that lives as long as the pod.
  if (volume?.persistentVolumeClaim ?? volume?.ephemeral) return 'persistentVolumeClaim';
  return 'other';
}
