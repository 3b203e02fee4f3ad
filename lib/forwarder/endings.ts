import { isMemoryOrJvm, judgeEnd, type EndHistory, type Killer } from '../policy/end-of-life.ts';
import { lastNumbers } from '../policy/last-numbers.ts';
import type { ContainerFacts, PodFacts } from '../policy/pod-facts.ts';
import { thresholdsOf } from '../policy/policy.ts';
import type { MetricSample } from '../policy/thresholds.ts';
import { verdictOf, type LastEnd } from '../signal/ending.ts';
import type { Signal, SignalReason } from '../signal/signal.ts';
import type { PodCache } from './pod-cache.ts';
import { RecentMap } from './recent-map.ts';
import type { SensorHistory } from './sensor-history.ts';

/** What was measured of containers. */
export type EndHistorySource = Pick<SensorHistory, 'of'>;

const historySeconds = 600;
const maxRememberedCount = 20_000;
/** The longest watch of a policy. */
const maxWatchMilliseconds = 86_400_000;

/**
 * What the forwarder alone knows of ends, put into the signals: who had a container killed, since that Event comes once and
 * before the end; how full its heap was; and of a running container, how its last life ended. Kept in memory and bounded: after
 * a restart of the forwarder the pod's own lastState has to do.
 */
export class Endings {
  readonly #pods: Pick<PodCache, 'get'>;
  readonly #history: EndHistorySource | undefined;
  /** By the life of a container. */
  readonly #killers = new RecentMap<Killer>(maxRememberedCount);
  /** By pod uid and container name. */
  readonly #lastEnds = new RecentMap<LastEnd>(maxRememberedCount);

  constructor(options: { pods: Pick<PodCache, 'get'>; history?: EndHistorySource | undefined }) {
    this.#pods = options.pods;
    this.#history = options.history;
  }

  /** The same signal with what is known here. */
  complete(signal: Signal): Signal {
    const pod = this.#pods.get(signal.namespace, signal.podName);
    if (signal.reason === 'ContainerTerminated') return this.#ended(signal, pod);
    this.#noteKiller(signal);
    const container = pod?.containers.find((one) => one.containerName === signal.containerName);
    const lastEnd = this.lastEndOf(signal.podUid ?? '', container, signal.observedTime);
    const numbers = killReasons.has(signal.reason)
      ? { ...this.numbersAtKill(signal), ...signal.numbers }
      : signal.numbers;
    return { ...signal, numbers, ...(lastEnd === undefined ? {} : { lastEnd }) };
  }

  /** Who is killing a container, as far as the cluster has told; `undefined` when it has told of no kill. */
  killerOf(life: Pick<Signal, 'podUid' | 'containerName' | 'containerID'>): Killer | undefined {
    return this.#killers.get(lifeOf(life));
  }

  /** What the sensor says of a container that is killed at that time (lastNumbers); empty where it told nothing. */
  numbersAtKill(
    killed: Pick<Signal, 'podUid' | 'containerID' | 'observedTime' | 'policy'>,
  ): Signal['numbers'] {
    const { policy } = killed;
    return lastNumbers(
      this.#samplesBefore(killed),
      policy === undefined ? [] : thresholdsOf(policy),
    );
  }

  #noteKiller(signal: Signal): void {
    const killer = killerOf(signal);
    if (killer !== undefined) this.#killers.set(lifeOf(signal), killer);
  }

  #ended(signal: Signal, pod: PodFacts | undefined): Signal {
    const killedBy = this.#killers.get(lifeOf(signal));
    const numbers = { ...this.#historyOf(signal), ...signal.numbers };
    const known: Signal = { ...signal, numbers };
    const container = pod?.containers.find((one) => one.containerName === signal.containerName);
    const facts = killedBy === undefined ? {} : { killedBy };
    // The verdict reads who killed it from the signal itself.
    const asked: Signal = { ...known, ending: { cause: 'unknown', explanation: '', ...facts } };
    const verdict = verdictOf(asked, container?.lastTermination);
    const key = containerOf(signal);
    if (isMemoryOrJvm(verdict.cause)) {
      this.#lastEnds.set(key, { cause: verdict.cause, endTime: signal.observedTime });
    }
    return { ...known, ending: { ...verdict, ...facts } };
  }

  /** The end of the life before the one that runs, if it was by memory or the JVM, and within the day before that time. */
  lastEndOf(
    podUid: string,
    container: ContainerFacts | undefined,
    observedTime: string,
  ): LastEnd | undefined {
    if (container === undefined) return undefined;
    const { containerName, lastTermination } = container;
    const remembered = this.#lastEnds.get(containerOf({ podUid, containerName }));
    const lastEnd = remembered ?? lastEndFrom(lastTermination);
    if (lastEnd === undefined) return undefined;
    const age = Date.parse(observedTime) - Date.parse(lastEnd.endTime);
    return age >= 0 && age <= maxWatchMilliseconds ? lastEnd : undefined;
  }

  /** Of the ten minutes before that time. */
  #samplesBefore({
    podUid = '',
    containerID = '',
    observedTime,
  }: Pick<Signal, 'podUid' | 'containerID' | 'observedTime'>): readonly MetricSample[] {
    const end = Date.parse(observedTime);
    return (this.#history?.of(podUid, containerID) ?? []).filter(
      ({ epochMilliseconds }) =>
        epochMilliseconds >= end - historySeconds * 1_000 && epochMilliseconds <= end + 2_000,
    );
  }

  /** Worst values of the ten minutes before the end. */
  #historyOf(signal: Signal): EndHistory {
    const samples = this.#samplesBefore(signal);
    const worst: Record<string, number> = {};
    const note = (name: string, value: number | undefined): void => {
      if (value === undefined || !Number.isFinite(value) || value < 0) return;
      worst[name] = Math.max(worst[name] ?? 0, value);
    };
    for (const [index, { values, totals, epochMilliseconds }] of samples.entries()) {
      for (const name of historyNames) note(name, bounded(values[name]));
      const before = samples[index - 1];
      if (before?.totals?.gcSeconds === undefined || totals?.gcSeconds === undefined) continue;
      const seconds = (epochMilliseconds - before.epochMilliseconds) / 1_000;
      if (seconds < minShareSeconds) continue;
      note(
        'gcTimePercent',
        bounded(((totals.gcSeconds - before.totals.gcSeconds) / seconds) * 100),
      );
    }
    const counts = samples.flatMap(({ totals }) => totals?.fullGcCount ?? []);
    const [first, last] = [counts[0], counts.at(-1)];
    if (first !== undefined && last !== undefined) note('fullGcCount', Math.round(last - first));
    return worst;
  }
}

/** A kill has begun: whether it is worth a dump can depend on what the sensor saw. */
const killReasons: ReadonlySet<SignalReason> = new Set([
  'PodDeleting',
  'ContainerKilling',
  'PreStop',
]);

const historyNames = [
  'heapUsedPercent',
  'heapAfterGcPercent',
  'cgroupUsedPercent',
  'gcTimePercent',
] as const;
/** A share of less time is one long collection. */
const minShareSeconds = 5;

/** To one decimal, and no more than a signal accepts. */
function bounded(value: number | undefined): number | undefined {
  return value === undefined ? undefined : Math.min(1_000, Math.round(value * 10) / 10);
}

/** The kubelet says with a kill that a probe failed; failures up to the threshold say so as well. */
function killerOf({ reason, numbers }: Signal): Killer | undefined {
  const { failureCount, failureThreshold = Infinity } = numbers;
  if (reason === 'ContainerKilling') return failureCount === undefined ? 'other' : 'livenessProbe';
  if (reason === 'StartupProbeFailing') return 'startupProbe';
  if (reason === 'PodDeleting') return 'other';
  const atThreshold = failureCount !== undefined && failureCount >= failureThreshold;
  return reason === 'LivenessProbeFailing' && atThreshold ? 'livenessProbe' : undefined;
}

/** What a forwarder that has just started finds in the pod itself. */
function lastEndFrom(termination: ContainerFacts['lastTermination']): LastEnd | undefined {
  if (termination?.finishedTime === undefined) return undefined;
  const { cause } = judgeEnd(termination);
  return isMemoryOrJvm(cause) ? { cause, endTime: termination.finishedTime } : undefined;
}

function lifeOf(signal: Pick<Signal, 'podUid' | 'containerName' | 'containerID'>): string {
  return `${containerOf(signal)}/${signal.containerID ?? ''}`;
}

function containerOf({
  podUid = '',
  containerName = '',
}: Pick<Signal, 'podUid' | 'containerName'>): string {
  return `${podUid}/${containerName}`;
}
