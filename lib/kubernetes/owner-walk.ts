import { CaptureError } from '../errors.ts';
import type { Workload } from '../policy/pod-facts.ts';
import { definedFields } from './defined-fields.ts';
import { bodyOf, type ApiCall } from './api-call.ts';
import type { ClusterConnection } from './connection.ts';
import type { ObjectMeta, OwnerReference, PodObject } from './pod-object.ts';

const maxHopCount = 5;

interface OwnerObject {
  metadata: ObjectMeta;
  status?: { readyReplicas?: number; numberReady?: number; ready?: number };
}

interface OwnerKind {
  apiVersion: string;
  resource: string;
  /** A workload in its own right: what owns it (a CronJob, an operator's resource) is not asked. */
  top: boolean;
  readyReplicaCount: (object: OwnerObject) => number;
}

const ownerKinds: Readonly<Record<string, OwnerKind>> = {
  ReplicaSet: kind('apps/v1', 'replicasets', false, ({ status }) => status?.readyReplicas ?? 0),
  Deployment: kind('apps/v1', 'deployments', true, ({ status }) => status?.readyReplicas ?? 0),
  StatefulSet: kind('apps/v1', 'statefulsets', true, ({ status }) => status?.readyReplicas ?? 0),
  DaemonSet: kind('apps/v1', 'daemonsets', true, ({ status }) => status?.numberReady ?? 0),
  Job: kind('batch/v1', 'jobs', true, ({ status }) => status?.ready ?? 0),
};

function kind(
  apiVersion: string,
  resource: string,
  top: boolean,
  readyReplicaCount: OwnerKind['readyReplicaCount'],
): OwnerKind {
  return { apiVersion, resource, top, readyReplicaCount };
}

/**
 * The pod's workload: its controller's controller, and so on up to a Deployment, StatefulSet, DaemonSet or Job,
 * at most five hops. A cycle, an owner that is gone, of another kind or not readable ends the walk at the last
 * owner whose name is known. Ready replicas are known where the last owner could be read.
 * @throws CaptureError ClusterUnavailable (retryable).
 */
export async function walkOwners(
  connection: ClusterConnection,
  pod: PodObject,
): Promise<{ workload: Workload; readyReplicaCount?: number }> {
  let workload: Workload = { kind: 'Pod', name: pod.metadata.name };
  let readyReplicaCount: number | undefined;
  let reference = controllerOf(pod.metadata);
  const seenUids = new Set<string>();
  for (let hop = 0; hop < maxHopCount && reference && !seenUids.has(reference.uid); hop++) {
    seenUids.add(reference.uid);
    workload = { kind: reference.kind, name: reference.name };
    readyReplicaCount = undefined;
    const ownerKind = kindOf(reference);
    if (!ownerKind) break;
    const owner = await readOwner(connection, pod.metadata.namespace, ownerKind, reference);
    if (!owner) break;
    readyReplicaCount = ownerKind.readyReplicaCount(owner);
    if (ownerKind.top) break;
    reference = controllerOf(owner.metadata);
  }
  return definedFields({ workload, readyReplicaCount });
}

/**
 * The workload as far as the pod's own words tell it, without a call: a ReplicaSet's name ends with the
 * pod-template-hash that the Deployment's controller gave both. For a watch, which cannot ask for every pod.
 */
export function guessWorkload(metadata: ObjectMeta): Workload {
  const reference = controllerOf(metadata);
  if (!reference) return { kind: 'Pod', name: metadata.name };
  const hash = metadata.labels?.['pod-template-hash'];
  if (reference.kind === 'ReplicaSet' && hash && reference.name.endsWith(`-${hash}`)) {
    return { kind: 'Deployment', name: reference.name.slice(0, -hash.length - 1) };
  }
  return { kind: reference.kind, name: reference.name };
}

function controllerOf(metadata: ObjectMeta): OwnerReference | undefined {
  return metadata.ownerReferences?.find(({ controller }) => controller === true);
}

function kindOf(reference: OwnerReference): OwnerKind | undefined {
  const ownerKind = ownerKinds[reference.kind];
  const group = reference.apiVersion.split('/')[0];
  return ownerKind?.apiVersion.split('/')[0] === group ? ownerKind : undefined;
}

async function readOwner(
  connection: ClusterConnection,
  namespace: string,
  { apiVersion, resource }: OwnerKind,
  { name, uid }: OwnerReference,
): Promise<OwnerObject | undefined> {
  const call: ApiCall = { verb: 'get', resource, apiVersion, namespace, name };
  try {
    const answer = await connection.request(call);
    if (answer.status === 404) return undefined;
    const owner = bodyOf(call, answer) as OwnerObject;
    // The name may have been given to another object since.
    return owner.metadata.uid === uid ? owner : undefined;
  } catch (error) {
    if (error instanceof CaptureError && error.code === 'ClusterForbidden') return undefined;
    throw error;
  }
}
