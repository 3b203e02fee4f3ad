import type { Right } from '../../kubernetes/installation.ts';

type NeededRight = Omit<Right, 'namespace'>;

const rights = (group: string, resources: string, verbs: string): NeededRight[] =>
  resources
    .split(' ')
    .flatMap((resource) => verbs.split(' ').map((verb) => ({ group, resource, verb })));

/** What the forwarder needs wherever it watches; a test holds these lists against infra/kubernetes. */
export const forwarderRights: readonly NeededRight[] = [
  ...rights('', 'pods events', 'list watch'),
  ...rights('', 'events', 'create'),
  ...rights('heapcatch.dev', 'jvmmonitors', 'list watch'),
  ...rights('heapcatch.dev', 'jvmmonitors/status', 'patch'),
];
/** Of what has no namespace. */
export const forwarderClusterRights: readonly NeededRight[] = [
  ...rights('authentication.k8s.io', 'tokenreviews', 'create'),
];
/** What the functions need wherever there are pods to capture. */
export const functionRights: readonly NeededRight[] = [
  ...rights('', 'pods', 'get'),
  ...rights('apps', 'deployments replicasets statefulsets daemonsets', 'get'),
  ...rights('batch', 'jobs', 'get'),
  ...rights('', 'events', 'create'),
];
/** What they need in heapcatch's own namespace. */
export const functionOwnRights: readonly NeededRight[] = rights('', 'pods', 'list');
/** The same, where agents run on the nodes. Before Kubernetes 1.35 `get` alone is asked for. */
export const agentExecRights: readonly NeededRight[] = rights('', 'pods/exec', 'get create');
export const ephemeralRights: readonly NeededRight[] = rights(
  '',
  'pods/ephemeralcontainers',
  'patch',
);

/** @param namespaces '' alone is all of them. */
export function inNamespaces(
  needed: readonly NeededRight[],
  namespaces: readonly string[],
): Right[] {
  return namespaces.flatMap((namespace) => needed.map((right) => ({ ...right, namespace })));
}

/** `list pods in shop`. */
export function rightText({ verb, group, resource, namespace }: Right): string {
  const name = group === '' ? resource : `${resource}.${group}`;
  return `${verb} ${name} in ${namespace === '' ? 'all namespaces' : namespace}`;
}
