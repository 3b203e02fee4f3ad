import type { ContainerFacts, PodFacts } from '../policy/pod-facts.ts';
import { shown } from '../validation.ts';
import { subjectOf, type Alert, type AlertSubject } from './alert.ts';

/** The pods among which an alert's is looked for. */
export interface PodIndex {
  get(namespace: string, podName: string): PodFacts | undefined;
  all(): Iterable<PodFacts>;
}

/** Why an alert leads to no pod. Normal answers, never errors. */
export type AlertRefusal =
  | 'PodNotNamed'
  | 'PodUnknown'
  | 'PodAmbiguous'
  | 'PodReplaced'
  | 'NamespaceNotWatched'
  | 'OtherCluster'
  | 'ContainerRestarted';

export type AlertResolution =
  | { outcome: 'resolved'; pod: PodFacts; containerName?: string }
  | { outcome: 'refused'; reason: AlertRefusal; message: string };

export interface AlertPlace {
  pods: PodIndex;
  /** Whether the pods of a namespace are known. */
  watches(namespace: string): boolean;
  /** The label selector by which a namespace opts in, where it can. */
  optIn?: string;
  /** What the label `cluster` says of alerts about this cluster. */
  clusterLabel: string;
}

const maxNamedPodCount = 5;

/**
 * The one pod that an alert is about, or why there is none. Names decide before addresses; a name without a namespace,
 * and an address, must fit one pod only. An address counts of running pods alone, since it is given away again, and not of
 * pods in the node's network, who share it with others that are not known here. An alert of another cluster, of a
 * namespace that is not watched, of another uid, or of an earlier life of the container is refused.
 */
export function resolveAlert(alert: Alert, place: AlertPlace): AlertResolution {
  const cluster = alert.labels.get('cluster') ?? '';
  if (cluster !== '' && cluster !== place.clusterLabel) {
    const message = `the label cluster is ${shown(cluster)}, accepted is ${shown(place.clusterLabel)}`;
    return refused('OtherCluster', message);
  }
  const subject = subjectOf(alert.labels);
  const found = podOf(subject, place);
  if (!('podUid' in found)) return found;
  if (subject.podUid !== undefined && subject.podUid !== found.podUid) {
    const message = `pod ${found.podName} was ${shown(subject.podUid)}, now it is ${found.podUid}`;
    return refused('PodReplaced', message);
  }
  return (
    restartedSince(alert, found, subject.containerName) ?? {
      outcome: 'resolved',
      pod: found,
      ...(subject.containerName === undefined ? {} : { containerName: subject.containerName }),
    }
  );
}

function podOf(subject: AlertSubject, place: AlertPlace): PodFacts | AlertResolution {
  const { namespace, podName, podIP } = subject;
  if (podName === undefined && podIP === undefined) {
    return refused(
      'PodNotNamed',
      'no label names a pod: accepted are exported_pod, pod, or an instance that is ip:port',
    );
  }
  if (podName !== undefined && namespace !== undefined) {
    const what = shown(`${namespace}/${podName}`);
    return place.pods.get(namespace, podName) ?? unknown(what, subject, place);
  }
  const matches = (pod: PodFacts): boolean =>
    podName === undefined
      ? pod.podIP === podIP && pod.phase === 'Running' && pod.hostNetwork === undefined
      : pod.podName === podName;
  return onlyOne(subject, place, matches);
}

function onlyOne(
  subject: AlertSubject,
  place: AlertPlace,
  matches: (pod: PodFacts) => boolean,
): PodFacts | AlertResolution {
  const { namespace, podName, podIP, label = '' } = subject;
  const found: PodFacts[] = [];
  for (const pod of place.pods.all()) {
    const elsewhere = namespace !== undefined && pod.namespace !== namespace;
    if (!elsewhere && matches(pod)) found.push(pod);
    if (found.length > maxNamedPodCount) break;
  }
  const what =
    podName === undefined ? `with the address ${shown(podIP)}` : `called ${shown(podName)}`;
  const [only] = found;
  if (only === undefined) return unknown(what, subject, place);
  if (found.length === 1) return only;
  const names = found.slice(0, maxNamedPodCount).map((pod) => `${pod.namespace}/${pod.podName}`);
  const more = found.length > maxNamedPodCount ? ' and more' : '';
  const message = `several pods are ${what} (label ${label}): ${names.join(', ')}${more}; add the labels pod and namespace`;
  return refused('PodAmbiguous', message);
}

/** Of a namespace that is not watched no pod is known, so that this is the reason. */
function unknown(
  what: string,
  { namespace, label = '' }: AlertSubject,
  place: AlertPlace,
): AlertResolution {
  if (namespace !== undefined && !place.watches(namespace)) {
    const message = `namespace ${shown(namespace)} is not watched by this forwarder`;
    const { optIn } = place;
    const why = optIn === undefined ? '' : `: it has not opted in, by labels that fit ${optIn}`;
    return refused('NamespaceNotWatched', message + why);
  }
  return refused('PodUnknown', `no pod ${what} (label ${label}) is known here`);
}

function restartedSince(
  { startsTime }: Alert,
  pod: PodFacts,
  containerName: string | undefined,
): AlertResolution | undefined {
  const named = ({ containerName: name }: ContainerFacts): boolean => name === containerName;
  const [first] = pod.containers;
  const only = pod.containers.length === 1 ? first : undefined;
  const container = containerName === undefined ? only : pod.containers.find(named);
  const startedTime = container?.startedTime;
  if (startsTime === undefined || startedTime === undefined) return undefined;
  if (Date.parse(startedTime) <= Date.parse(startsTime)) return undefined;
  return refused(
    'ContainerRestarted',
    `container ${container?.containerName ?? ''} of ${pod.podName} started at ${startedTime}, after the alert at ${startsTime}: what it saw is gone`,
  );
}

function refused(reason: AlertRefusal, message: string): AlertResolution & { outcome: 'refused' } {
  return { outcome: 'refused', reason, message };
}
