import { invalid } from './api-error.ts';
import type { Pod } from './api-objects.ts';
import type { Container, EnvVar, EphemeralContainer } from './pod-schema.ts';

/** What a pod looks like to its own containers. */
export interface PodView {
  pod: Pod;
  podIP: string;
  hostIP: string;
}

/**
 * The environment of a container: PATH of this machine, then the spec's variables in order, the downward API's
 * fields and `$(NAME)` of earlier ones resolved.
 */
export function environmentOf(
  container: Container | EphemeralContainer,
  view: PodView,
  added: Readonly<Record<string, string>>,
): Record<string, string> {
  const environment: Record<string, string> = {
    PATH: process.env['PATH'] ?? '/usr/local/bin:/usr/bin:/bin',
    HOSTNAME: view.pod.metadata.name,
    ...added,
  };
  for (const variable of container.env) {
    environment[variable.name] = valueOf(variable, view, environment);
  }
  return environment;
}

function valueOf(
  { value, valueFrom }: EnvVar,
  view: PodView,
  environment: Readonly<Record<string, string>>,
): string {
  if (valueFrom !== undefined) return fieldOf(valueFrom.fieldRef.fieldPath, view) ?? '';
  return expand(value ?? '', environment);
}

/** `$(NAME)` becomes the variable's value where there is one, `$$` a dollar. Kubernetes' rule for env and commands. */
export function expand(text: string, environment: Readonly<Record<string, string>>): string {
  return text.replace(/\$\$|\$\(([-._a-zA-Z][-._a-zA-Z0-9]*)\)/g, (whole, name?: string) => {
    if (name === undefined) return '$';
    return environment[name] ?? whole;
  });
}

const fields: Readonly<Record<string, (view: PodView) => string>> = {
  'metadata.name': ({ pod }) => pod.metadata.name,
  'metadata.namespace': ({ pod }) => pod.metadata.namespace,
  'metadata.uid': ({ pod }) => pod.metadata.uid,
  'spec.nodeName': ({ pod }) => pod.spec.nodeName,
  'spec.serviceAccountName': ({ pod }) => pod.spec.serviceAccountName,
  'status.podIP': ({ podIP }) => podIP,
  'status.hostIP': ({ hostIP }) => hostIP,
};

function fieldOf(fieldPath: string, view: PodView): string | undefined {
  const known = fields[fieldPath];
  if (known) return known(view);
  const [, map = '', key = ''] =
    /^metadata\.(labels|annotations)\['([^']+)'\]$/.exec(fieldPath) ?? [];
  return view.pod.metadata[map as 'labels' | 'annotations']?.[key];
}

/** @throws ApiError 422 naming the first field that the downward API does not have here. */
export function requireKnownFields(name: string, variables: readonly EnvVar[]): void {
  for (const { valueFrom } of variables) {
    const fieldPath = valueFrom?.fieldRef.fieldPath;
    if (fieldPath === undefined || Object.hasOwn(fields, fieldPath)) continue;
    if (/^metadata\.(labels|annotations)\['[^']+'\]$/.test(fieldPath)) continue;
    throw invalid('Pod', name, [
      {
        field: 'env.valueFrom.fieldRef.fieldPath',
        message: `"${fieldPath}"; accepted are ${Object.keys(fields).join(', ')} and labels and annotations by key`,
      },
    ]);
  }
}
