import type { PodFacts } from '../policy/pod-facts.ts';

export const maxCachedPodCount = 20_000;
const annotationPrefix = 'heapcatch.dev/';
const noVolumeMounts: PodFacts['containers'][number]['volumeMounts'] = Object.freeze([]);

export type PodChange =
  | { outcome: 'kept'; previous: PodFacts | undefined; current: PodFacts }
  /** The cache is full. */
  | { outcome: 'refused' };

/**
 * The pods as last seen, by namespace and name. A pod that was replaced under its name (another uid) is a new
 * pod: nothing of the old one is its past. Kept is a projection: no volumes, and of the annotations only ours,
 * since those can be 256 KiB a pod.
 */
export class PodCache {
  readonly #maxCount: number;
  readonly #byName = new Map<string, PodFacts>();

  constructor(maxCount: number = maxCachedPodCount) {
    this.#maxCount = maxCount;
  }

  get size(): number {
    return this.#byName.size;
  }

  all(): IterableIterator<PodFacts> {
    return this.#byName.values();
  }

  get(namespace: string, podName: string): PodFacts | undefined {
    return this.#byName.get(keyOf(namespace, podName));
  }

  /** Answers `refused` for a pod not yet known when the cache is full; pods that are known stay. */
  put(pod: PodFacts): PodChange {
    const key = keyOf(pod.namespace, pod.podName);
    const known = this.#byName.get(key);
    if (known === undefined && this.#byName.size >= this.#maxCount) return { outcome: 'refused' };
    const current = projected(pod);
    this.#byName.set(key, current);
    const previous = known?.podUid === pod.podUid ? known : undefined;
    return { outcome: 'kept', previous, current };
  }

  /** Forgets exactly this pod: the word of a deletion that comes after the name's next pod leaves that one alone. */
  delete(pod: { namespace: string; podName: string; podUid: string }): void {
    const key = keyOf(pod.namespace, pod.podName);
    if (this.#byName.get(key)?.podUid === pod.podUid) this.#byName.delete(key);
  }

  /** Forgets every pod of the namespace ('' means all) that the list does not have, and counts them. */
  retain(namespace: string, listed: readonly PodFacts[]): number {
    const uids = new Set(listed.map((pod) => pod.podUid));
    let goneCount = 0;
    for (const [key, pod] of this.#byName) {
      if ((namespace === '' || pod.namespace === namespace) && !uids.has(pod.podUid)) {
        this.#byName.delete(key);
        goneCount += 1;
      }
    }
    return goneCount;
  }
}

/** A slash is in neither name (RFC 1123). */
function keyOf(namespace: string, podName: string): string {
  return `${namespace}/${podName}`;
}

function projected(pod: PodFacts): PodFacts {
  const ours = Object.entries(pod.annotations).filter(([name]) =>
    name.startsWith(annotationPrefix),
  );
  return {
    ...pod,
    annotations: Object.fromEntries(ours),
    containers: pod.containers.map((container) => ({
      ...container,
      volumeMounts: noVolumeMounts,
    })),
  };
}
