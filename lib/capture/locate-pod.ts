import { messageOf } from '../errors.ts';
import type { Logger } from '../log.ts';
import type { Signal } from '../signal/signal.ts';
import { signalOfSought, type SoughtPod } from '../signal/sought-pod.ts';
import type { CaptureAnswer } from './capture-answer.ts';
import type { ClusterApi } from './ports.ts';
import { skipAnswer } from './weigh-signal.ts';

export interface LocateDeps {
  /** Names of the registered clusters. */
  listClusters: () => Promise<readonly string[]>;
  clusterOf: (clusterName: string) => Promise<Pick<ClusterApi, 'readPod' | 'findPods'>>;
  /** Milliseconds until the function is stopped. */
  remainingMillis: () => number;
  logger: Logger;
}

interface Candidate {
  readonly clusterName: string;
  readonly namespace: string;
}

const atOnceCount = 10;
const maxSeekMillis = 15_000;
/** Kept of the function's time for the capture itself. */
const keptMillis = 30_000;
const shownCount = 10;

/**
 * Finds the cluster and the namespace of a pod that a person named, over the registered clusters, at once and within 15 s. Only
 * where it is the only one of that name, and every cluster answered, is it taken: to dump a namesake would stop an
 * application that nobody asked about. Otherwise the answer says which there are, and where it looked.
 * @throws CaptureError of `listClusters`.
 */
export async function locatePod(
  deps: LocateDeps,
  sought: SoughtPod,
): Promise<{ signal: Signal } | { answer: CaptureAnswer }> {
  const { clusterName } = sought;
  const clusters = clusterName === undefined ? await deps.listClusters() : [clusterName];
  const found = await seek(deps, sought, clusters);
  const [only, ...others] = found.candidates;
  if (only !== undefined && others.length === 0 && found.unasked.length === 0) {
    return { signal: signalOfSought(sought, only) };
  }
  const answer = answerOf(sought, clusters, found);
  const { message: explanation, ...decided } = answer;
  deps.logger.info('decision', { podName: sought.podName, ...decided, explanation });
  return { answer };
}

interface Found {
  readonly candidates: readonly Candidate[];
  /** Clusters of which it is not known whether they have such a pod, and why. */
  readonly unasked: readonly { readonly clusterName: string; readonly why: string }[];
}

async function seek(
  deps: LocateDeps,
  sought: SoughtPod,
  clusters: readonly string[],
): Promise<Found> {
  const candidates: Candidate[] = [];
  const unasked: { clusterName: string; why: string }[] = [];
  const millis = Math.max(0, Math.min(maxSeekMillis, deps.remainingMillis() - keptMillis));
  const end = AbortSignal.timeout(millis);
  const over = new Promise<never>((_resolve, reject) => {
    const fail = (): void => reject(new Error(`no answer within ${millis / 1_000} s`));
    end.addEventListener('abort', fail, { once: true });
  });
  over.catch(() => undefined);
  const waiting = [...clusters];
  const work = async (): Promise<void> => {
    for (
      let clusterName = waiting.shift();
      clusterName !== undefined;
      clusterName = waiting.shift()
    ) {
      try {
        const namespaces = await Promise.race([namespacesIn(deps, sought, clusterName), over]);
        candidates.push(...namespaces.map((namespace) => ({ clusterName, namespace })));
      } catch (error) {
        unasked.push({ clusterName, why: messageOf(error, 200) });
      }
    }
  };
  await Promise.all(Array.from({ length: atOnceCount }, work));
  return { candidates: sorted(candidates), unasked: sorted(unasked) };
}

async function namespacesIn(
  { clusterOf }: LocateDeps,
  { podName, namespace }: SoughtPod,
  clusterName: string,
): Promise<readonly string[]> {
  const cluster = await clusterOf(clusterName);
  if (namespace === undefined) return cluster.findPods(podName);
  return (await cluster.readPod(namespace, podName)) === undefined ? [] : [namespace];
}

function sorted<T extends { readonly clusterName: string; readonly namespace?: string }>(
  list: readonly T[],
): T[] {
  const keyOf = ({ clusterName, namespace = '' }: T): string => `${clusterName}/${namespace}`;
  return [...list].sort((one, other) => (keyOf(one) < keyOf(other) ? -1 : 1));
}

function answerOf(
  sought: SoughtPod,
  clusters: readonly string[],
  { candidates, unasked }: Found,
): CaptureAnswer {
  const { podName, namespace } = sought;
  const pod = namespace === undefined ? podName : `${namespace}/${podName}`;
  const silent = unasked.map(({ clusterName, why }) => `${clusterName} (${why})`);
  const untold = silent.length === 0 ? '' : `; not known of: ${listed(silent, '; ')}`;
  if (candidates.length === 0) {
    const asked = clusters.filter((name) => !unasked.some((one) => one.clusterName === name));
    const where =
      clusters.length === 0 ? 'no cluster is registered' : `looked in ${listed(asked) || 'none'}`;
    return skipAnswer('PodNotFound', `no pod ${pod}: ${where}${untold}`);
  }
  const places = candidates.map((one) => `${one.clusterName}/${one.namespace}`);
  const message =
    candidates.length === 1
      ? `pod ${podName} is in ${places.join()}, and may be elsewhere too${untold}`
      : `${candidates.length} pods are called ${podName}: ${listed(places)}${untold}`;
  const requests = candidates.map((one) => JSON.stringify(requestOf(sought, one)));
  return {
    ...skipAnswer('PodAmbiguous', message),
    next: `nothing was claimed or started; say which one: ${listed(requests, ' or ')}`,
  };
}

/** What names this one, ready to be sent. */
function requestOf(
  { podName, containerName, dryRun }: SoughtPod,
  { clusterName, namespace }: Candidate,
): Record<string, unknown> {
  return { cluster: clusterName, namespace, pod: podName, container: containerName, dryRun };
}

function listed(words: readonly string[], separator = ', '): string {
  const more = words.length - shownCount;
  return words.slice(0, shownCount).join(separator) + (more > 0 ? ` and ${more} more` : '');
}
