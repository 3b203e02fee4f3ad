import type { CaptureWord } from '../signal/capture-word.ts';
import { RecentMap } from './recent-map.ts';

const maxPodCount = 5_000;
const maxCapturesOfPodCount = 8;
/** The longest capture that a policy allows, and its seal. */
const longestMilliseconds = 2 * 3_600_000;

interface SeenCapture {
  /** The newest word of each kind. */
  started?: CaptureWord;
  ended?: CaptureWord;
  skipped?: CaptureWord;
  /** The JVM has written its dump, and the agent reads it without the JVM. */
  jvmReleased?: true;
}

/**
 * What became of the captures of pods: what the functions say in Events, and the node agents to the forwarder. Whoever may
 * create Events in a namespace can say the first as well, so that nothing but the time for which a pod is held may rest on it.
 */
export class CapturesSeen {
  readonly #byPod = new RecentMap<Map<string, SeenCapture>>(maxPodCount);
  readonly #waiting = new Map<string, Set<() => void>>();

  heard(word: CaptureWord): void {
    const kind =
      word.reason === 'HeapDumpStarted'
        ? 'started'
        : word.reason === 'HeapDumpSkipped'
          ? 'skipped'
          : 'ended';
    const capture = this.#captureOf(word.podUid, word.captureId);
    // A list of Events has no order.
    const known = capture[kind];
    if (known !== undefined && known.time > word.time) return;
    capture[kind] = word;
    this.#tell(word.podUid);
  }

  jvmReleased(podUid: string, captureId: string): void {
    this.#captureOf(podUid, captureId).jvmReleased = true;
    this.#tell(podUid);
  }

  /** A capture that needs the pod's JVM at this time. */
  running(podUid: string, now: Date): CaptureWord | undefined {
    for (const { started, ended, jvmReleased } of this.#byPod.get(podUid)?.values() ?? []) {
      if (started === undefined || jvmReleased === true) continue;
      if (ended !== undefined && ended.time >= started.time) continue;
      if (now.getTime() - Date.parse(started.time) < longestMilliseconds) return started;
    }
    return undefined;
  }

  /** What is known of one capture. */
  of(podUid: string, captureId: string): Readonly<SeenCapture> {
    return this.#byPod.get(podUid)?.get(captureId) ?? {};
  }

  /** Resolves at the next word about a pod, and at the abort. */
  async changed(podUid: string, signal: AbortSignal): Promise<void> {
    if (signal.aborted) return;
    const waiting = this.#waiting.get(podUid) ?? new Set();
    this.#waiting.set(podUid, waiting);
    const { promise, resolve } = Promise.withResolvers<undefined>();
    const wake = (): void => resolve(undefined);
    waiting.add(wake);
    signal.addEventListener('abort', wake, { once: true });
    await promise;
    signal.removeEventListener('abort', wake);
    waiting.delete(wake);
    if (waiting.size === 0 && this.#waiting.get(podUid) === waiting) this.#waiting.delete(podUid);
  }

  #captureOf(podUid: string, captureId: string): SeenCapture {
    const captures = this.#byPod.get(podUid) ?? new Map<string, SeenCapture>();
    const capture = captures.get(captureId) ?? {};
    captures.delete(captureId);
    captures.set(captureId, capture);
    const [oldest] = captures.keys();
    if (captures.size > maxCapturesOfPodCount && oldest !== undefined) captures.delete(oldest);
    this.#byPod.set(podUid, captures);
    return capture;
  }

  #tell(podUid: string): void {
    for (const wake of this.#waiting.get(podUid) ?? []) wake();
  }
}
