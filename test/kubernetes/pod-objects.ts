import type { ContainerObject, PodObject } from '../../lib/kubernetes/pod-object.ts';

/** A pod as the API returns it, reduced to what every pod has. */
export function podObject(
  changes: {
    metadata?: Partial<PodObject['metadata']>;
    spec?: Partial<PodObject['spec']>;
    status?: PodObject['status'];
    container?: Partial<ContainerObject>;
  } = {},
): PodObject {
  return {
    metadata: { name: 'cart-1', namespace: 'shop', uid: 'uid-1', ...changes.metadata },
    spec: { containers: [{ name: 'app', ...changes.container }], ...changes.spec },
    ...(changes.status && { status: changes.status }),
  };
}

export function owner(kind: string, name: string, apiVersion = 'apps/v1', uid = `uid-of-${name}`) {
  return { apiVersion, kind, name, uid, controller: true };
}
