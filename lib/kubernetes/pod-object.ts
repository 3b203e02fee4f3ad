/** A reference to an owner, as in `metadata.ownerReferences`. */
export interface OwnerReference {
  apiVersion: string;
  kind: string;
  name: string;
  uid: string;
  controller?: boolean;
}

export interface ObjectMeta {
  name: string;
  namespace?: string;
  uid?: string;
  resourceVersion?: string;
  labels?: Record<string, string>;
  annotations?: Record<string, string>;
  ownerReferences?: OwnerReference[];
  creationTimestamp?: string;
  deletionTimestamp?: string;
  deletionGracePeriodSeconds?: number;
}

export interface ProbeObject {
  initialDelaySeconds?: number;
  periodSeconds?: number;
  timeoutSeconds?: number;
  failureThreshold?: number;
  successThreshold?: number;
  terminationGracePeriodSeconds?: number;
}

export interface SecurityContextObject {
  runAsUser?: number;
  runAsGroup?: number;
  readOnlyRootFilesystem?: boolean;
}

export interface ContainerObject {
  name: string;
  restartPolicy?: string;
  resources?: { limits?: Record<string, string | number> };
  livenessProbe?: ProbeObject;
  lifecycle?: { preStop?: { sleep?: { seconds?: number }; exec?: unknown; httpGet?: unknown } };
  securityContext?: SecurityContextObject;
  volumeMounts?: { name: string; mountPath: string; readOnly?: boolean; subPath?: string }[];
}

export interface VolumeObject {
  name: string;
  emptyDir?: { medium?: string; sizeLimit?: string | number };
  hostPath?: unknown;
  persistentVolumeClaim?: unknown;
  ephemeral?: unknown;
}

export interface TerminatedState {
  exitCode?: number;
  reason?: string;
  startedAt?: string | null;
  finishedAt?: string | null;
  containerID?: string;
}

export interface ContainerStatusObject {
  name: string;
  containerID?: string;
  ready?: boolean;
  started?: boolean;
  restartCount?: number;
  state?: { running?: { startedAt?: string }; terminated?: TerminatedState };
  lastState?: { terminated?: TerminatedState };
  user?: { linux?: { uid?: number; gid?: number } };
}

/** The parts of a core/v1 Pod that heapcatch reads, as raw JSON: the API leaves out whatever is empty. */
export interface PodObject {
  metadata: ObjectMeta & { uid: string; namespace: string };
  spec: {
    nodeName?: string;
    hostNetwork?: boolean;
    terminationGracePeriodSeconds?: number;
    securityContext?: SecurityContextObject;
    containers: ContainerObject[];
    initContainers?: ContainerObject[];
    ephemeralContainers?: { name: string }[];
    volumes?: VolumeObject[];
  };
  status?: {
    phase?: string;
    reason?: string;
    message?: string;
    podIP?: string;
    conditions?: { type: string; status: string }[];
    containerStatuses?: ContainerStatusObject[];
    initContainerStatuses?: ContainerStatusObject[];
  };
}

/** Whether raw JSON has what every pod has. What is optional is checked where it is read. */
export function isPodObject(value: unknown): value is PodObject {
  const { metadata, spec } = (value ?? {}) as { metadata?: unknown; spec?: unknown };
  const { name, namespace, uid } = (metadata ?? {}) as Record<string, unknown>;
  const { containers } = (spec ?? {}) as Record<string, unknown>;
  return (
    [name, namespace, uid].every((text) => typeof text === 'string') && Array.isArray(containers)
  );
}
