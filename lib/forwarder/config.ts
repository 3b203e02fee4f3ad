import { hostname } from 'node:os';
import { CaptureError } from '../errors.ts';
import { shown } from '../validation.ts';
import type { TlsFiles } from './tls-files.ts';

/** What the forwarder is told by its environment, validated. */
export interface ForwarderConfig {
  clusterName: string;
  /** `['']` means all namespaces, as in the Kubernetes API; none where they opt in by label alone. */
  namespaces: readonly string[];
  /** Label selector of namespaces that are watched beside those. */
  namespaceSelector?: string;
  eventBusName: string;
  region: string;
  endpoint?: string;
  spoolDirectory: string;
  spoolMaxBytes: number;
  /** 0 asks for any free port. */
  httpPort: number;
  /** What others may ask of the forwarder; 0 asks for any free port. */
  apiPort: number;
  /** Beside apiPort, the same over TLS. */
  apiTls?: { port: number; files: TlsFiles };
  /** Bearer tokens for the alert webhook, one a line. */
  alertsTokenFile?: string;
  /** What the label `cluster` says of alerts about this cluster. */
  alertsCluster: string;
  /** Of the Prometheus that JvmMonitors may query. */
  prometheusUrl?: string;
  /** The Lease by which one of several forwarders leads, and the pod that this one runs in. */
  election?: { namespace: string; name: string; podName: string };
  /** A kubeconfig file; absent means the pod's own service account. */
  kubeconfig?: string;
}

export const defaultSpoolDirectory = '/var/spool/heapcatch';
export const defaultSpoolMaxBytes = 64 * 1024 * 1024;
export const defaultHttpPort = 8080;
export const defaultApiPort = 8081;
export const defaultApiTlsPort = 8443;
/** Each namespace costs two watches; more than this is cheaper as one watch of all. */
export const maxNamespaceCount = 100;

export const defaultLeaseName = 'heapcatch-forwarder';

const namespaceName = /^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/;
const leaseName = /^[a-z0-9]([-.a-z0-9]{0,251}[a-z0-9])?$/;
const labelValue = ['1 to 200 characters', /^[^\0]{1,200}$/] as const;
const fileName = ['the path of a file', /^[^\0]{1,1024}$/] as const;

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
  const kubeconfig = optional('HEAPCATCH_KUBECONFIG', ...fileName);
  const clusterName = required(
    'HEAPCATCH_CLUSTER_NAME',
    '1 to 100 letters, digits, "-", "_" and "."',
    /^[A-Za-z0-9]([-_.A-Za-z0-9]{0,98}[A-Za-z0-9])?$/,
  );
  const alertsTokenFile = optional('HEAPCATCH_ALERTS_TOKEN_FILE', ...fileName);
  const apiTls = apiTlsOf(env, faults);
  const election = electionOf(optional);
  const prometheusUrl = optional(
    'HEAPCATCH_PROMETHEUS_URL',
    'an http or https URL without a query',
    /^https?:\/\/[^\s/?#@]+(\/[^\s?#]*)?$/,
  );
  const config: ForwarderConfig = {
    clusterName,
    ...namespacesOf(env, faults),
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
    httpPort: portOf(env, faults, 'HEAPCATCH_HTTP_PORT', defaultHttpPort),
    apiPort: portOf(env, faults, 'HEAPCATCH_API_PORT', defaultApiPort),
    ...(apiTls === undefined ? {} : { apiTls }),
    ...(alertsTokenFile === undefined ? {} : { alertsTokenFile }),
    alertsCluster: optional('HEAPCATCH_ALERTS_CLUSTER', ...labelValue) ?? clusterName,
    ...(prometheusUrl === undefined ? {} : { prometheusUrl }),
    ...(election === undefined ? {} : { election }),
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

function electionOf(
  optional: (name: string, accepted: string, pattern: RegExp) => string | undefined,
): ForwarderConfig['election'] {
  const namespace = optional('HEAPCATCH_LEASE_NAMESPACE', 'the name of a namespace', namespaceName);
  const name = optional('HEAPCATCH_LEASE_NAME', 'the name of a Lease', leaseName);
  const podName = optional('HEAPCATCH_POD_NAME', 'the name of a pod', leaseName);
  if (namespace === undefined) return undefined;
  return { namespace, name: name ?? defaultLeaseName, podName: podName ?? hostname() };
}

function portOf(env: Env, faults: Faults, name: string, otherwise: number): number {
  return numberOf(env, faults, { name, min: 0, max: 65_535, otherwise });
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

function apiTlsOf(env: Env, faults: Faults): ForwarderConfig['apiTls'] {
  const names = ['CERT', 'KEY', 'CLIENT_CA'].map((part) => `HEAPCATCH_API_TLS_${part}_FILE`);
  const [accepted, pattern] = fileName;
  const [cert, key, clientCa] = names.map((name) =>
    textOf(env, faults, { name, accepted, pattern, optional: true }),
  );
  const port = numberOf(env, faults, {
    name: 'HEAPCATCH_API_TLS_PORT',
    min: 0,
    max: 65_535,
    otherwise: defaultApiTlsPort,
  });
  if (cert !== undefined && key !== undefined) {
    return { port, files: { cert, key, ...(clientCa === undefined ? {} : { clientCa }) } };
  }
  if (cert !== undefined || key !== undefined || clientCa !== undefined) {
    faults.push(`${names.join(', ')}: accepted are the first two, all three, or none`);
  }
  return undefined;
}

function namespacesOf(
  env: Env,
  faults: Faults,
): Pick<ForwarderConfig, 'namespaces' | 'namespaceSelector'> {
  const namespaceSelector = textOf(env, faults, {
    name: 'HEAPCATCH_NAMESPACE_SELECTOR',
    accepted: 'a label selector such as heapcatch.dev/watch=true',
    pattern: /^[-\w./=!,() ]{1,500}$/,
    optional: true,
  });
  const value = valueOf(env, 'HEAPCATCH_NAMESPACES');
  if (value === undefined) {
    return namespaceSelector === undefined
      ? { namespaces: [''] }
      : { namespaces: [], namespaceSelector };
  }
  const names = [...new Set(value.split(',').map((name) => name.trim()))];
  const wrong = names.filter((name) => !namespaceName.test(name));
  if (wrong.length > 0 || names.length > maxNamespaceCount) {
    faults.push(
      `HEAPCATCH_NAMESPACES has ${shown(wrong[0] ?? `${names.length} names`)}, accepted are at most ` +
        `${maxNamespaceCount} namespace names separated by commas, or nothing for all namespaces`,
    );
  }
  return { namespaces: names, ...(namespaceSelector && { namespaceSelector }) };
}
