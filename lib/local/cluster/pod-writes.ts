import { accessSync, constants } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import * as z from 'zod';
import { ApiError, invalid, notFound, notSupported } from './api-error.ts';
import { apiTime, type ApiObject, type Pod, type ResourceName } from './api-objects.ts';
import { requireKnownFields } from './container-environment.ts';
import type { ObjectTable } from './object-table.ts';
import {
  deploymentSchema,
  ephemeralContainerSchema,
  podSchema,
  type EphemeralContainer,
  type PodSpec,
} from './pod-schema.ts';

/** POST of a pod, a Deployment or an Event. @throws ApiError 422, 409, 405 */
export function createObject(
  table: ObjectTable,
  resource: ResourceName,
  namespace: string,
  body: unknown,
  nodeName: string,
): ApiObject {
  switch (resource) {
    case 'pods':
      return createPod(table, namespace, body, nodeName);
    case 'deployments': {
      const { metadata, spec } = checked('Deployment', deploymentSchema, body);
      checkPodSpec(metadata.name, spec.template.spec);
      return table.create('deployments', {
        metadata: { ...metadata, namespace },
        spec,
        status: { replicas: 0 },
      });
    }
    case 'events': {
      const { metadata, ...event } = checked('Event', eventSchema, body);
      return table.create('events', { ...event, metadata: { ...metadata, namespace } });
    }
    case 'replicasets':
      throw notSupported('ReplicaSets that no Deployment made');
  }
}

const eventSchema = z.looseObject({
  metadata: z.looseObject({ name: z.string().min(1).max(253) }),
  involvedObject: z.looseObject({ namespace: z.string().optional() }),
  message: z.string().max(1_024).optional(),
  reason: z.string().max(128).optional(),
  count: z.number().int().min(0).optional(),
  firstTimestamp: z.string().nullable().default(null),
  lastTimestamp: z.string().nullable().default(null),
  eventTime: z.string().nullable().default(null),
  source: z.looseObject({}).default({}),
});

export function createPod(
  table: ObjectTable,
  namespace: string,
  body: unknown,
  nodeName: string,
): Pod {
  const { metadata, spec } = checked('Pod', podSchema, body);
  checkPodSpec(metadata.name, spec);
  if (spec.ephemeralContainers.length > 0) {
    throw invalid('Pod', metadata.name, [
      { field: 'spec.ephemeralContainers', message: 'may not be set at creation' },
    ]);
  }
  return table.create('pods', {
    metadata: { ...metadata, namespace },
    spec: { ...spec, nodeName },
    status: { phase: 'Pending', qosClass: 'BestEffort' },
  });
}

const deleteOptionsSchema = z.looseObject({
  gracePeriodSeconds: z.coerce.number().int().min(0).optional(),
  preconditions: z.looseObject({ uid: z.string().optional() }).optional(),
});

/** DELETE of any object; what a Deployment made follows it. @throws ApiError 404, 409, 422 */
export function removeObject(
  table: ObjectTable,
  resource: ResourceName,
  namespace: string,
  name: string,
  options: unknown,
): ApiObject {
  const { gracePeriodSeconds, preconditions } = checked(
    'DeleteOptions',
    deleteOptionsSchema,
    options,
  );
  const object = table.require(resource, namespace, name);
  const { uid } = object.metadata;
  if (preconditions?.uid !== undefined && preconditions.uid !== uid) {
    throw new ApiError(409, 'Conflict', `the UID in the precondition is not the UID ${uid}`);
  }
  if (resource === 'pods') return deletePod(table, object as Pod, gracePeriodSeconds);
  table.remove(resource, namespace, name);
  for (const owned of resource === 'deployments' ? table.list('replicasets', namespace) : []) {
    const isOwned = owned.metadata.ownerReferences?.some((owner) => owner.uid === uid);
    if (isOwned) table.remove('replicasets', namespace, owned.metadata.name);
  }
  return object;
}

/**
 * Marks a pod for deletion: deletionTimestamp is when its grace period ends. A repeat can only shorten it.
 * A grace period of 0 removes it at once, whatever its processes do.
 */
export function deletePod(table: ObjectTable, pod: Pod, graceSeconds: number | undefined): Pod {
  const { namespace, name, uid, deletionGracePeriodSeconds } = pod.metadata;
  const seconds = graceSeconds ?? pod.spec.terminationGracePeriodSeconds;
  if (seconds === 0) {
    table.remove('pods', namespace, name);
    return pod;
  }
  if (deletionGracePeriodSeconds !== undefined && seconds >= deletionGracePeriodSeconds) return pod;
  const marked = table.update('pods', { namespace, name, uid }, (draft) => {
    draft.metadata.deletionTimestamp = apiTime(new Date(Date.now() + seconds * 1_000));
    draft.metadata.deletionGracePeriodSeconds = seconds;
  });
  return marked ?? pod;
}

const ephemeralPatchSchema = z.looseObject({
  metadata: z.looseObject({ uid: z.string().optional() }).optional(),
  spec: z.looseObject({ ephemeralContainers: z.array(ephemeralContainerSchema).min(1) }),
});

/**
 * The strategic merge of `pods/ephemeralcontainers`: containers are merged by their names, those that are there may
 * not be changed, another uid is a change of an immutable field. A pod that is being deleted takes it too.
 * @throws ApiError 404, 422
 */
export function patchEphemeralContainers(
  table: ObjectTable,
  namespace: string,
  name: string,
  body: unknown,
): Pod {
  const { metadata, spec } = checked('Pod', ephemeralPatchSchema, body);
  const pod = table.require('pods', namespace, name);
  if (metadata?.uid !== undefined && metadata.uid !== pod.metadata.uid) {
    throw invalid('Pod', name, [{ field: 'metadata.uid', message: 'field is immutable' }]);
  }
  const added: EphemeralContainer[] = [];
  for (const container of spec.ephemeralContainers) {
    const existing = pod.spec.ephemeralContainers.find((one) => one.name === container.name);
    if (!existing) {
      checkEphemeral(pod, container);
      added.push(container);
    } else if (JSON.stringify(existing) !== JSON.stringify(container)) {
      const message = `existing ephemeral containers "${container.name}" may not be changed`;
      throw invalid('Pod', name, [{ field: 'spec.ephemeralContainers', message }]);
    }
  }
  const patched = table.update('pods', { namespace, name }, (draft) => {
    draft.spec.ephemeralContainers.push(...added);
  });
  if (!patched) throw notFound('pods', name);
  return patched;
}

function checkEphemeral(pod: Pod, container: EphemeralContainer): void {
  const { name } = pod.metadata;
  const field = 'spec.ephemeralContainers[0]';
  const names = pod.spec.containers.map((one) => one.name);
  if (names.includes(container.name)) {
    const message = `Duplicate value: "${container.name}"`;
    throw invalid('Pod', name, [{ field: `${field}.name`, message }]);
  }
  const target = container.targetContainerName;
  if (target !== undefined && !names.includes(target)) {
    const message = `Not found: "${target}"`;
    throw invalid('Pod', name, [{ field: `${field}.targetContainerName`, message }]);
  }
  requireKnownFields(name, container.env);
}

/** Nothing is mounted here: a volume has to be at its place already, or in the folder for temporary files. */
function checkPodSpec(name: string, spec: PodSpec): void {
  const faults: { field: string; message: string }[] = [];
  const unnamed = spec.containers.map((one) => one.name);
  if (new Set(unnamed).size < unnamed.length) {
    faults.push({ field: 'spec.containers', message: 'two containers have one name' });
  }
  for (const { env, volumeMounts } of spec.containers) {
    requireKnownFields(name, env);
    for (const mount of volumeMounts) {
      const volume = spec.volumes.find((one) => one.name === mount.name);
      const message = placeFault(mount.mountPath, volume);
      if (message) faults.push({ field: `spec.volumes "${mount.name}"`, message });
    }
  }
  if (faults.length > 0) throw invalid('Pod', name, faults);
}

function placeFault(
  mountPath: string,
  volume: PodSpec['volumes'][number] | undefined,
): string | undefined {
  if (volume === undefined) return 'Not found';
  if (volume.hostPath) {
    return volume.hostPath.path === mountPath
      ? undefined
      : 'a hostPath has to be its own mountPath';
  }
  if (!volume.emptyDir) return 'accepted are emptyDir and hostPath';
  const inTemporary = !path.relative(tmpdir(), path.resolve(mountPath)).startsWith('..');
  if (inTemporary) return undefined;
  try {
    accessSync(mountPath, constants.W_OK);
    return undefined;
  } catch {
    return `an emptyDir has to be in ${tmpdir()} or an existing writable folder: nothing is mounted`;
  }
}

function checked<T extends z.ZodType>(kind: string, schema: T, body: unknown): z.output<T> {
  const result = schema.safeParse(body);
  if (result.success) return result.data;
  const name = (body as { metadata?: { name?: unknown } } | undefined)?.metadata?.name;
  const faults = result.error.issues.slice(0, 10).map((issue) => ({
    field: issue.path.map(String).join('.'),
    message: issue.message,
  }));
  throw invalid(kind, typeof name === 'string' ? name.slice(0, 253) : '', faults);
}
