import { isJsonObject, type JsonObject } from '../validation.ts';
import { bodyOf, type ApiCall } from './api-call.ts';
import { ClusterConnection } from './connection.ts';

/** A Deployment or DaemonSet, as far as it says whether it runs. */
export interface WorkloadState {
  readonly wantedCount: number;
  readonly readyCount: number;
  readonly image: string;
}

/** A right in the words of RBAC. */
export interface Right {
  readonly verb: string;
  /** '' is the core group. */
  readonly group: string;
  /** With its subresource: `pods/exec`. */
  readonly resource: string;
  /** '' is all of them, or none for what has no namespace. */
  readonly namespace: string;
}

/** Who is asked about. */
export interface Subject {
  readonly user: string;
  readonly groups: readonly string[];
}

/**
 * What is installed of heapcatch in a cluster, in the name of whoever asks. `undefined` is what is not there.
 * @throws CaptureError ClusterUnavailable (retryable), ClusterForbidden naming verb and resource, ClusterRefused.
 */
export interface Installation {
  readNamespaceLabels(): Promise<Readonly<Record<string, string>> | undefined>;
  readForwarder(): Promise<WorkloadState | undefined>;
  readAgent(): Promise<WorkloadState | undefined>;
  readForwarderConfig(): Promise<Readonly<Record<string, string>> | undefined>;
  hasJvmMonitors(): Promise<boolean>;
  /** By SubjectAccessReview, which takes the right to create these. */
  mayDo(subject: Subject, right: Right): Promise<boolean>;
  /** The metrics page of each running forwarder, through the API server; 10 at most. */
  readForwarderMetrics(): Promise<readonly string[]>;
}

const maxPageBytes = 4 * 1024 * 1024;
const maxForwarderCount = 10;

/** @param kubeconfig as text. @throws CaptureError InvalidConfiguration. */
export function createInstallation(kubeconfig: string, namespace: string): Installation {
  const connection = new ClusterConnection(kubeconfig);
  const get = async (call: Omit<ApiCall, 'verb'>): Promise<JsonObject | undefined> => {
    const whole: ApiCall = { verb: 'get', ...call };
    const answer = await connection.request(whole);
    if (answer.status === 404) return undefined;
    const body = bodyOf(whole, answer);
    return isJsonObject(body) ? body : {};
  };
  const apps = 'apps/v1';
  return {
    async readNamespaceLabels() {
      const found = await get({ resource: 'namespaces', namespace: '', name: namespace });
      return found && texts(at(found, 'metadata', 'labels'));
    },
    async readForwarder() {
      const place = { resource: 'deployments', namespace, name: 'heapcatch-forwarder' };
      const found = await get({ ...place, apiVersion: apps });
      return found && workloadOf(found, count(at(found, 'spec', 'replicas')), 'readyReplicas');
    },
    async readAgent() {
      const place = { resource: 'daemonsets', namespace, name: 'heapcatch-agent' };
      const found = await get({ ...place, apiVersion: apps });
      const wanted = found && count(at(found, 'status', 'desiredNumberScheduled'));
      return found && workloadOf(found, wanted ?? 0, 'numberReady');
    },
    async readForwarderConfig() {
      const place = { resource: 'configmaps', namespace, name: 'heapcatch-forwarder' };
      const found = await get(place);
      return found && texts(found['data']);
    },
    async hasJvmMonitors() {
      const place = { resource: 'customresourcedefinitions', namespace: '' };
      const name = 'jvmmonitors.heapcatch.dev';
      const found = await get({ ...place, name, apiVersion: 'apiextensions.k8s.io/v1' });
      return found !== undefined;
    },
    mayDo: (subject, right) => reviewAccess(connection, subject, right),
    readForwarderMetrics: () => readMetrics(connection, namespace),
  };
}

async function reviewAccess(
  connection: ClusterConnection,
  { user, groups }: Subject,
  { verb, group, resource: whole, namespace }: Right,
): Promise<boolean> {
  const apiVersion = 'authorization.k8s.io/v1';
  const [resource = '', subresource] = whole.split('/');
  const resourceAttributes = {
    ...{ verb, group, resource, namespace },
    ...(subresource === undefined ? {} : { subresource }),
  };
  const call: ApiCall = {
    ...{ verb: 'create', resource: 'subjectaccessreviews', namespace: '', apiVersion },
    body: { apiVersion, kind: 'SubjectAccessReview', spec: { user, groups, resourceAttributes } },
  };
  const body = bodyOf(call, await connection.request(call));
  return isJsonObject(body) && at(body, 'status', 'allowed') === true;
}

async function readMetrics(connection: ClusterConnection, namespace: string): Promise<string[]> {
  const list: ApiCall = {
    ...{ verb: 'list', resource: 'pods', namespace },
    query: {
      labelSelector: 'app.kubernetes.io/name=heapcatch-forwarder',
      fieldSelector: 'status.phase=Running',
      limit: maxForwarderCount,
    },
  };
  const body = bodyOf(list, await connection.request(list));
  const items = isJsonObject(body) && Array.isArray(body['items']) ? body['items'] : [];
  const pages: string[] = [];
  for (const item of items.filter(isJsonObject)) {
    const name = at(item, 'metadata', 'name');
    if (typeof name !== 'string') continue;
    const place = { resource: 'pods/proxy', namespace, name: `${name}:8080` };
    pages.push(await readText(connection, { verb: 'get', ...place, proxiedPath: 'metrics' }));
  }
  return pages;
}

async function readText(connection: ClusterConnection, call: ApiCall): Promise<string> {
  const opened = await connection.openStream(call, AbortSignal.timeout(10_000));
  if ('answer' in opened) {
    bodyOf(call, opened.answer);
    return '';
  }
  let text = '';
  for await (const chunk of opened.stream) {
    text += String(chunk);
    if (text.length > maxPageBytes) break;
  }
  return text;
}

function workloadOf(found: JsonObject, wantedCount: number, readyField: string): WorkloadState {
  const containers = at(found, 'spec', 'template', 'spec', 'containers');
  const [first] = Array.isArray(containers) ? (containers as unknown[]) : [];
  const image = isJsonObject(first) ? first['image'] : undefined;
  return {
    wantedCount,
    readyCount: count(at(found, 'status', readyField)),
    image: typeof image === 'string' ? image : '',
  };
}

function at(object: JsonObject, ...path: readonly string[]): unknown {
  return path.reduce<unknown>(
    (value, key) => (isJsonObject(value) ? value[key] : undefined),
    object,
  );
}

function count(value: unknown): number {
  return typeof value === 'number' ? value : 0;
}

function texts(value: unknown): Record<string, string> {
  const entries = Object.entries(isJsonObject(value) ? value : {});
  return Object.fromEntries(entries.map(([name, text]) => [name, String(text)]));
}
