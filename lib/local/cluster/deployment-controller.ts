import { createHash, randomInt } from 'node:crypto';
import type { Deployment, Pod, ReplicaSet } from './api-objects.ts';
import type { ObjectTable } from './object-table.ts';
import { createPod, deletePod } from './pod-writes.ts';

/** Without vowels and digits that look like them: no words come out. As k8s.io/apimachinery's rand. */
const alphabet = 'bcdfghjklmnpqrstvwxz2456789';
const suffixLength = 5;
const hashLength = 10;

/**
 * Keeps the replicas of Deployments: a ReplicaSet each, and as many pods. A pod that is being deleted does not
 * count, so that its replacement comes at once. There is no rollout: a template stays what it was.
 */
export class DeploymentController {
  readonly #table: ObjectTable;
  readonly #nodeName: string;
  readonly #unsubscribe: () => void;
  #scheduled = false;
  #closed = false;

  constructor(table: ObjectTable, nodeName: string) {
    this.#table = table;
    this.#nodeName = nodeName;
    this.#unsubscribe = table.history.subscribe(({ resource }) => {
      if (resource === 'events' || this.#scheduled) return;
      this.#scheduled = true;
      setImmediate(() => {
        this.#scheduled = false;
        if (!this.#closed) this.#reconcile();
      });
    });
  }

  close(): void {
    this.#closed = true;
    this.#unsubscribe();
  }

  #reconcile(): void {
    for (const deployment of this.#table.list('deployments')) this.#keepReplicaSet(deployment);
    for (const replicaSet of this.#table.list('replicasets')) this.#keepReplicas(replicaSet);
    this.#collectOrphans();
  }

  #keepReplicaSet(deployment: Deployment): void {
    const { name, namespace } = deployment.metadata;
    const hash = lettersOf(
      createHash('sha256').update(JSON.stringify(deployment.spec.template)).digest(),
      hashLength,
    );
    const existing = this.#table.get('replicasets', namespace, `${name}-${hash}`);
    if (existing) {
      this.#table.update('deployments', { namespace, name }, (draft) => {
        draft.status = existing.status;
      });
      return;
    }
    const { template } = deployment.spec;
    const labels = { ...template.metadata.labels, 'pod-template-hash': hash };
    this.#table.create('replicasets', {
      metadata: {
        name: `${name}-${hash}`,
        namespace,
        labels,
        ownerReferences: [controllerReference(deployment)],
      },
      spec: {
        ...deployment.spec,
        template: { ...template, metadata: { ...template.metadata, labels } },
      },
      status: { replicas: 0 },
    });
  }

  #keepReplicas(replicaSet: ReplicaSet): void {
    const { name, namespace, uid } = replicaSet.metadata;
    const active = this.#table
      .list('pods', namespace)
      .filter((pod) => ownerUidOf(pod) === uid && isActive(pod));
    for (let count = active.length; count < replicaSet.spec.replicas; count++) {
      const { metadata, spec } = replicaSet.spec.template;
      createPod(
        this.#table,
        namespace,
        {
          metadata: {
            ...metadata,
            name: `${name}-${randomLetters(suffixLength)}`,
            generateName: `${name}-`,
            ownerReferences: [controllerReference(replicaSet)],
          },
          spec,
        },
        this.#nodeName,
      );
    }
    const ready = active.filter(isReady).length;
    this.#table.update('replicasets', { namespace, name }, (draft) => {
      draft.status = { replicas: active.length, ...(ready > 0 && { readyReplicas: ready }) };
    });
  }

  /** Pods whose ReplicaSet is gone follow it, as the garbage collector sees to. */
  #collectOrphans(): void {
    const uids = new Set(this.#table.list('replicasets').map(({ metadata }) => metadata.uid));
    for (const pod of this.#table.list('pods')) {
      const owner = ownerUidOf(pod);
      if (owner !== undefined && !uids.has(owner)) deletePod(this.#table, pod, undefined);
    }
  }
}

function controllerReference(owner: Deployment | ReplicaSet): object {
  const { apiVersion, kind, metadata } = owner;
  return {
    apiVersion,
    kind,
    name: metadata.name,
    uid: metadata.uid,
    controller: true,
    blockOwnerDeletion: true,
  };
}

function ownerUidOf({ metadata }: Pod): string | undefined {
  return metadata.ownerReferences?.find(({ kind }) => kind === 'ReplicaSet')?.uid;
}

function isActive({ metadata, status }: Pod): boolean {
  return (
    metadata.deletionTimestamp === undefined && !['Succeeded', 'Failed'].includes(status.phase)
  );
}

function isReady({ status }: Pod): boolean {
  return (status.conditions ?? []).some((one) => one.type === 'Ready' && one.status === 'True');
}

function lettersOf(bytes: Uint8Array, length: number): string {
  return [...bytes.subarray(0, length)].map((byte) => alphabet[byte % alphabet.length]).join('');
}

function randomLetters(length: number): string {
  return Array.from({ length }, () => alphabet[randomInt(alphabet.length)]).join('');
}
