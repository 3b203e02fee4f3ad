/** The facts about a pod that a decision rests on, as read from the cluster API just before it. */
export interface PodFacts {
  clusterName: string;
  namespace: string;
  podName: string;
  podUid: string;
  nodeName?: string;
  podIP?: string;
  workload: Workload;
  /** Ready replicas of the workload, this pod included; absent when it was not asked for or not known. */
  readyReplicaCount?: number;
  phase: 'Pending' | 'Running' | 'Succeeded' | 'Failed' | 'Unknown';
  ready: boolean;
  /** Present once the kubelet has evicted the pod; its own words, at most 1,024 characters. */
  eviction?: { message: string };
  /** RFC 3339, present while the pod is being deleted: the end of its grace period, not its begin (metadata.deletionTimestamp). */
  deletionTime?: string;
  deletionGracePeriodSeconds?: number;
  terminationGracePeriodSeconds: number;
  annotations: Readonly<Record<string, string>>;
  /** Absent where there are none. */
  labels?: Readonly<Record<string, string>>;
  /** The pod's address is its node's. */
  hostNetwork?: true;
  containers: readonly ContainerFacts[];
}

/** The top owner: the thing of which at most one replica may be dumping. */
export interface Workload {
  kind:
    | 'Deployment'
    | 'StatefulSet'
    | 'DaemonSet'
    | 'Job'
    | 'CronJob'
    | 'ReplicaSet'
    | 'Pod'
    | (string & {});
  name: string;
}

export interface ContainerFacts {
  containerName: string;
  /** As Kubernetes prints it (`containerd://…`); absent while it was never started. */
  containerID?: string;
  running: boolean;
  ready: boolean;
  started: boolean;
  restartCount: number;
  /** RFC 3339, start of the running container. */
  startedTime?: string;
  memoryLimitBytes?: number;
  ephemeralStorageLimitBytes?: number;
  livenessProbe?: ProbeFacts;
  preStopSeconds?: number;
  hasPreStop: boolean;
  /** The uid the process really has (status) or is asked to have (securityContext); absent when unknown. */
  runAsUser?: number;
  runAsGroup?: number;
  readOnlyRootFilesystem: boolean;
  volumeMounts: readonly VolumeMountFacts[];
  /** The end of the life before this one; of this one while the container is down. Times are RFC 3339. */
  lastTermination?: {
    reason: string;
    exitCode: number;
    startedTime?: string;
    finishedTime?: string;
  };
}

export interface ProbeFacts {
  periodSeconds: number;
  timeoutSeconds: number;
  failureThreshold: number;
  initialDelaySeconds: number;
  /** The probe's own grace period, where it overrides the pod's. */
  terminationGracePeriodSeconds?: number;
}

export interface VolumeMountFacts {
  volumeName: string;
  mountPath: string;
  readOnly: boolean;
  volumeType: 'emptyDir' | 'memory' | 'hostPath' | 'persistentVolumeClaim' | 'other';
  sizeLimitBytes?: number;
  subPath?: string;
}
