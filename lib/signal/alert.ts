import { createHash } from 'node:crypto';

/** One alert of Alertmanager or one alarm of CloudWatch, as far as it matters here. */
export interface Alert {
  /** At most 253 characters; absent where it has none. */
  alertName?: string;
  firing: boolean;
  /** RFC 3339 with milliseconds: when it began to fire. Absent where the sender does not say. */
  startsTime?: string;
  /** Names and values as they came: anything that whoever writes metrics or rules can think of. */
  labels: ReadonlyMap<string, string>;
  /** The same for the same labels: the sender's fingerprint, or one made here. */
  identity: string;
}

/** The pod that an alert's labels speak of. What is absent they do not say. */
export interface AlertSubject {
  namespace?: string;
  podName?: string;
  podUid?: string;
  containerName?: string;
  /** Of `instance`, where no label names a pod. */
  podIP?: string;
  /** The label that the pod was taken from. */
  label?: string;
}

/** Told later than this after it began, an alert counts as observed when it was told: see observedTimeOf. */
export const recentStartSeconds = 600;
const maxAlertNameLength = 253;

/**
 * Which pod the labels mean. `exported_…` labels first: Prometheus renames a metric's own `pod` so, when the target that it
 * scraped has one too (honor_labels: false), and the metric is about the exported one, such as with kube-state-metrics.
 * A label that names a pod is never passed over for a weaker one, be that pod known or not: the weaker one can be the
 * exporter. Empty values count as absent, and so does the container `POD`, which is the pause container's.
 * Source: https://prometheus.io/docs/prometheus/latest/configuration/configuration/#scrape_config (honor_labels).
 */
export function subjectOf(labels: ReadonlyMap<string, string>): AlertSubject {
  const first = (...names: readonly string[]): { label: string; value: string } | undefined => {
    const label = names.find((name) => (labels.get(name) ?? '') !== '');
    return label === undefined ? undefined : { label, value: labels.get(label) ?? '' };
  };
  const valueOf = (...names: readonly string[]): string | undefined => first(...names)?.value;

  const exported = first('exported_pod');
  if (exported !== undefined) {
    return subject({
      ...exported,
      namespace: valueOf('exported_namespace', 'namespace'),
      containerName: valueOf('exported_container'),
      podUid: valueOf('exported_uid', 'uid'),
    });
  }
  const pod = first('pod', 'pod_name', 'kubernetes_pod_name');
  const namespace = valueOf('namespace', 'kubernetes_namespace');
  const containerName = valueOf('container', 'container_name');
  if (pod !== undefined) {
    return subject({ ...pod, namespace, containerName, podUid: valueOf('uid') });
  }
  const instance = valueOf('instance');
  const podIP = instance === undefined ? undefined : addressIn(instance);
  return subject({
    ...(podIP === undefined ? {} : { label: 'instance', podIP }),
    namespace,
    containerName,
  });
}

function subject(found: {
  label?: string;
  value?: string;
  podIP?: string;
  namespace: string | undefined;
  containerName: string | undefined;
  podUid?: string | undefined;
}): AlertSubject {
  const { label, value, podIP, namespace, podUid } = found;
  const containerName = found.containerName === 'POD' ? undefined : found.containerName;
  return {
    ...(label === undefined ? {} : { label }),
    ...(value === undefined ? {} : { podName: value }),
    ...(podIP === undefined ? {} : { podIP }),
    ...(namespace === undefined ? {} : { namespace }),
    ...(podUid === undefined ? {} : { podUid }),
    ...(containerName === undefined ? {} : { containerName }),
  };
}

/** The address of `10.1.2.3:9404`, `[fd00::1]:9404`, or of an address alone; `undefined` for a host's name. */
function addressIn(instance: string): string | undefined {
  if (instance.length > 100) return undefined;
  const [, v4] = /^(\d{1,3}(?:\.\d{1,3}){3})(?::\d{1,5})?$/.exec(instance) ?? [];
  if (v4 !== undefined) return v4;
  const [, bracketed] = /^\[([0-9a-fA-F:.]+)\](?::\d{1,5})?$/.exec(instance) ?? [];
  return bracketed?.toLowerCase();
}

/**
 * When an alert's trouble was observed: when it began to fire, so that each repeat of the word leads to the same
 * captureId; but when it was told, where it has been firing for longer than 600 s: it is told because it still does.
 * @param toldTime RFC 3339, of the envelope or of its arrival.
 */
export function observedTimeOf({ startsTime }: Alert, toldTime: string): string {
  if (startsTime === undefined) return toldTime;
  const sinceSeconds = (Date.parse(toldTime) - Date.parse(startsTime)) / 1000;
  return sinceSeconds >= 0 && sinceSeconds <= recentStartSeconds ? startsTime : toldTime;
}

export function alertNameOf(text: string | undefined): { alertName?: string } {
  return text === undefined || text === '' ? {} : { alertName: text.slice(0, maxAlertNameLength) };
}

/** For alerts that come without a fingerprint: of the labels, whatever their order. */
export function identityOf(labels: ReadonlyMap<string, string>): string {
  const sorted = [...labels].sort(([a], [b]) => (a < b ? -1 : 1));
  return createHash('sha256').update(JSON.stringify(sorted)).digest('hex').slice(0, 32);
}

/**
 * A time as alerts carry it, as RFC 3339 with milliseconds: RFC 3339 (Alertmanager, Prometheus), with the offset `+0000`
 * (CloudWatch over SNS), or as Go prints it, `2026-03-01 12:00:00.5 +0000 UTC` (templates of Amazon Managed Prometheus).
 * `undefined` for Go's zero time (`0001-01-01T00:00:00Z`), which means "not said", and whatever lies before 2000.
 * @throws RangeError for anything else.
 */
export function readAlertTime(value: unknown): string | undefined {
  if (value === undefined || value === null || value === '') return undefined;
  const text = typeof value === 'string' && value.length <= 64 ? value : '';
  const [, date, time, fraction = '', zone = ''] = timePattern.exec(text) ?? [];
  if (date === undefined || time === undefined) throw new RangeError('not a time');
  const offset = zone === 'Z' ? 'Z' : `${zone.slice(0, 3)}:${zone.slice(-2)}`;
  const milliseconds = Date.parse(`${date}T${time}${fraction.slice(0, 4)}${offset}`);
  if (Number.isNaN(milliseconds)) throw new RangeError('not a time');
  return milliseconds < Date.UTC(2000) ? undefined : new Date(milliseconds).toISOString();
}

/** Go adds the zone's name, and the monotonic clock where there is one. */
const timePattern =
  /^(\d{4}-\d{2}-\d{2})[T ](\d{2}:\d{2}:\d{2})(\.\d{1,9})? ?(Z|[+-]\d{2}:?\d{2})(?: [A-Z+-][A-Z0-9+-]{0,9})?(?: m=\S{1,30})?$/;
