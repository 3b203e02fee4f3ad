import type { ObjectMeta } from '../../kubernetes/pod-object.ts';
import type { PodSpec } from './pod-schema.ts';

/** Metadata as the API hands it out. */
export type StoredMeta = ObjectMeta & {
  namespace: string;
  uid: string;
  resourceVersion: string;
  creationTimestamp: string;
};

interface Stored {
  metadata: StoredMeta;
}

export interface TerminatedState {
  containerID: string;
  exitCode: number;
  signal?: number;
  reason: string;
  startedAt: string;
  finishedAt: string;
}

export interface ContainerState {
  waiting?: { reason: string; message?: string };
  running?: { startedAt: string };
  terminated?: TerminatedState;
}

export interface ContainerStatus {
  name: string;
  image: string;
  imageID: string;
  containerID?: string;
  ready: boolean;
  started: boolean;
  restartCount: number;
  state: ContainerState;
  lastState: ContainerState;
  user?: { linux: { uid: number; gid: number; supplementalGroups: number[] } };
}

export interface PodCondition {
  type: string;
  status: 'True' | 'False';
  lastProbeTime: null;
  lastTransitionTime: string;
}

export interface PodStatus {
  phase: 'Pending' | 'Running' | 'Succeeded' | 'Failed';
  qosClass: string;
  conditions?: PodCondition[];
  hostIP?: string;
  podIP?: string;
  podIPs?: { ip: string }[];
  startTime?: string;
  containerStatuses?: ContainerStatus[];
  ephemeralContainerStatuses?: ContainerStatus[];
}

export interface Pod extends Stored {
  apiVersion: 'v1';
  kind: 'Pod';
  spec: PodSpec & { nodeName: string };
  status: PodStatus;
}

/** core/v1 Event. Clients post them with whatever fields they like. */
export interface KubernetesEvent extends Stored {
  apiVersion: 'v1';
  kind: 'Event';
  involvedObject: Record<string, unknown>;
  type?: unknown;
  reason?: string | undefined;
  message?: string | undefined;
  count?: number | undefined;
  firstTimestamp: string | null;
  lastTimestamp: string | null;
  eventTime: string | null;
  source: Record<string, unknown>;
  reportingComponent?: unknown;
  reportingInstance?: unknown;
}

export interface Deployment extends Stored {
  apiVersion: 'apps/v1';
  kind: 'Deployment';
  spec: {
    replicas: number;
    selector: { matchLabels: Record<string, string> };
    template: {
      metadata: {
        labels: Record<string, string>;
        annotations?: Record<string, string> | undefined;
      };
      spec: PodSpec;
    };
  };
  status: { replicas: number; readyReplicas?: number };
}

export interface ReplicaSet extends Stored {
  apiVersion: 'apps/v1';
  kind: 'ReplicaSet';
  spec: Deployment['spec'];
  status: { replicas: number; readyReplicas?: number };
}

/** Resources by their plural names. */
export interface Resources {
  pods: Pod;
  events: KubernetesEvent;
  deployments: Deployment;
  replicasets: ReplicaSet;
}
export type ResourceName = keyof Resources;
export type ApiObject = Resources[ResourceName];

export const apiKinds = {
  pods: { apiVersion: 'v1', kind: 'Pod' },
  events: { apiVersion: 'v1', kind: 'Event' },
  deployments: { apiVersion: 'apps/v1', kind: 'Deployment' },
  replicasets: { apiVersion: 'apps/v1', kind: 'ReplicaSet' },
} as const satisfies Record<ResourceName, { apiVersion: string; kind: string }>;

/** RFC 3339 in whole seconds, the API's metav1.Time. */
export function apiTime(time: Date = new Date()): string {
  return time.toISOString().replace(/\.\d+Z$/, 'Z');
}
