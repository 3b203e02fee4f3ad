import { CaptureError } from '../errors.ts';
import { shown } from '../validation.ts';

/** What the forwarder is told by its environment, validated. */
export interface ForwarderConfig {
  clusterName: string;
  /** `['']` means all namespaces, as in the Kubernetes API. */
  namespaces: readonly string[];
  eventBusName: string;
  region: string;
  endpoint?: string;
  spoolDirectory: string;
  spoolMaxBytes: number;
  /** 0 asks for any free port. */
  httpPort: number;
  /** What others may ask of the forwarder; 0 asks for any free port. */
  apiPort: number;
  /** A kubeconfig file; absent means the pod's own service account. */
  kubeconfig?: string;
}

export const defaultSpoolDirectory = '/var/spool/heapcatch';
export const defaultSpoolMaxBytes = 64 * 1024 * 1024;
export const defaultHttpPort = 8080;
export const defaultApiPort = 8081;
/** Each namespace costs two watches; more than this is cheaper as one watch of all. */
export const maxNamespaceCount = 100;

type Env = Readonly<Record<string, string | undefined>>;
type Faults = string[];

/**
 * Reads the forwarder's environment. An empty variable counts as absent: manifests leave them behind.
 * @throws CaptureError InvalidConfiguration (permanent) naming every faulty variable, its value and what is accepted.
 */
export function readForwarderConfig(env: Env): ForwarderConfig {
  const faults: Faults = [];
  const required = (name: string, accepted: string, pattern: RegExp): string =>
    textOf(env, faults, { name, accepted, pattern }) ?? '';
  const optional = (name: string, accepted: string, pattern: RegExp): string | undefined =>
    textOf(env, faults, { name, accepted, pattern, optional: true });

  const endpoint = optional('AWS_ENDPOINT_URL', 'an http or https URL', /^https?:\/\/[^\s/]\S*$/);
  const kubeconfig = optional('HEAPCATCH_KUBECONFIG', 'the path of a file', /^[^\0]{1,1024}$/);
  const config: ForwarderConfig = {
    clusterName: required(
      'HEAPCATCH_CLUSTER_NAME',
      '1 to 100 letters, digits, "-", "_" and "."',
      /^[A-Za-z0-9]([-_.A-Za-z0-9]{0,98}[A-Za-z0-9])?$/,
    ),
    namespaces: namespacesOf(env, faults),
    eventBusName: required(
      'HEAPCATCH_EVENT_BUS_NAME',
      'the name or the ARN of an event bus',
      /^(arn:[-\w]+:events:[-\w]*:\d*:event-bus\/)?[-./\w]{1,256}$/,
    ),
    region: required('AWS_REGION', 'a region such as eu-central-1', /^[a-z0-9-]{1,50}$/),
    ...(endpoint === undefined ? {} : { endpoint }),
    spoolDirectory:
      optional('HEAPCATCH_SPOOL_DIR', 'an absolute path', /^\/[^\0]{0,1023}$/) ??
      defaultSpoolDirectory,
    spoolMaxBytes: numberOf(env, faults, {
      name: 'HEAPCATCH_SPOOL_MAX_BYTES',
      min: 1024 * 1024,
      max: 10 * 1024 ** 3,
      otherwise: defaultSpoolMaxBytes,
    }),
    httpPort: numberOf(env, faults, {
      name: 'HEAPCATCH_HTTP_PORT',
      min: 0,
      max: 65_535,
      otherwise: defaultHttpPort,
    }),
    apiPort: numberOf(env, faults, {
      name: 'HEAPCATCH_API_PORT',
      min: 0,
      max: 65_535,
      otherwise: defaultApiPort,
    }),
    ...(kubeconfig === undefined ? {} : { kubeconfig }),
  };
  if (faults.length > 0) {
    throw new CaptureError(
      'InvalidConfiguration',
      `the forwarder's environment is not valid: ${faults.join('; ')}`,
      { details: { faults } },
    );
  }
  return config;
}

function valueOf(env: Env, name: string): string | undefined {
  const value = env[name]?.trim();
  return value === '' ? undefined : value;
}

function textOf(
  env: Env,
  faults: Faults,
  rule: { name: string; accepted: string; pattern: RegExp; optional?: boolean },
): string | undefined {
  const value = valueOf(env, rule.name);
  if (value === undefined) {
    if (rule.optional !== true)
      faults.push(`${rule.name} is missing, accepted is ${rule.accepted}`);
    return undefined;
  }
  if (!rule.pattern.test(value)) {
    faults.push(`${rule.name} is ${shown(value)}, accepted is ${rule.accepted}`);
  }
  return value;
}

function numberOf(
  env: Env,
  faults: Faults,
  rule: { name: string; min: number; max: number; otherwise: number },
): number {
  const value = valueOf(env, rule.name);
  if (value === undefined) return rule.otherwise;
  const number = /^\d{1,15}$/.test(value) ? Number(value) : Number.NaN;
  if (number >= rule.min && number <= rule.max) return number;
  faults.push(
    `${rule.name} is ${shown(value)}, accepted is a whole number from ${rule.min} to ${rule.max}`,
  );
  return rule.otherwise;
}

function namespacesOf(env: Env, faults: Faults): readonly string[] {
  const value = valueOf(env, 'HEAPCATCH_NAMESPACES');
  if (value === undefined) return [''];
  const names = [...new Set(value.split(',').map((name) => name.trim()))];
  const wrong = names.filter((name) => !/^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/.test(name));
  if (wrong.length > 0 || names.length > maxNamespaceCount) {
    faults.push(
      `HEAPCATCH_NAMESPACES has ${shown(wrong[0] ?? `${names.length} names`)}, accepted are at most ` +
        `${maxNamespaceCount} namespace names separated by commas, or nothing for all namespaces`,
    );
  }
  return names;
}
