import { messageOf } from '../errors.ts';
import type { Logger } from '../log.ts';
import {
  evaluateThresholds,
  initialThresholdState,
  type FiredThreshold,
  type ThresholdState,
} from '../policy/thresholds.ts';
import { underWatch } from '../policy/watch.ts';
import type { SensedContainer, SensorReport } from '../signal/sensor-report.ts';
import { RecentMap } from './recent-map.ts';
import { maxHistoryContainerCount, type SensorHistory } from './sensor-history.ts';
import type { RunningContainer, SignalIntake } from './signal-intake.ts';

/** Clocks of nodes differ; what is further off is no sample of now. */
const maxAheadMilliseconds = 30_000;
const maxAgeMilliseconds = 600_000;

export interface SensorWatchOptions {
  readonly intake: Pick<SignalIntake, 'running' | 'submit' | 'watchOf'>;
  readonly history: SensorHistory;
  readonly now: () => Date;
  readonly log: Logger;
}

/** How a report was taken; each container is counted once. */
export interface TakenReport {
  readonly takenCount: number;
  /** Of pods that are not known or whose policy is disabled: another namespace's, a container that has just begun. */
  readonly unknownCount: number;
  readonly signalCount: number;
}

/** Judges what the sensors measured by the policies of the pods, and sends the signals of thresholds that fire. */
export class SensorWatch {
  readonly #options: SensorWatchOptions;
  readonly #states = new RecentMap<ThresholdState>(maxHistoryContainerCount);

  constructor(options: SensorWatchOptions) {
    this.#options = options;
  }

  take({ containers, nodeName }: SensorReport): TakenReport {
    let unknownCount = 0;
    let signalCount = 0;
    for (const sensed of containers) {
      const known = this.#options.intake.running(sensed.podUid, sensed.runtimeID);
      // A node speaks for its own pods alone.
      if (known === undefined || (known.pod.nodeName ?? nodeName) !== nodeName) unknownCount += 1;
      else signalCount += this.#judge(sensed, known);
    }
    return { takenCount: containers.length - unknownCount, unknownCount, signalCount };
  }

  #judge(
    { podUid, runtimeID, startTicks, samples }: SensedContainer,
    { pod, container, policy, judgedBySensor }: RunningContainer,
  ): number {
    const { history, intake, now } = this.#options;
    const { heapNearLimit, gcStorm, cgroupNearLimit } = policy.triggers;
    const ordered = judgedBySensor ? [...heapNearLimit, ...gcStorm, ...cgroupNearLimit] : [];
    const watched = intake.watchOf(pod, container, policy, now()) !== undefined;
    const thresholds = watched ? ordered.map(underWatch) : ordered;
    // Another JVM of the same container begins anew.
    const key = `${podUid}/${runtimeID}/${startTicks}`;
    let state = this.#states.get(key) ?? initialThresholdState;
    let signalCount = 0;
    for (const sample of samples) {
      const age = now().getTime() - sample.epochMilliseconds;
      if (age < -maxAheadMilliseconds || age > maxAgeMilliseconds) continue;
      history.add(podUid, runtimeID, sample);
      const judged = evaluateThresholds(thresholds, state, sample);
      state = judged.state;
      const observedTime = new Date(sample.epochMilliseconds).toISOString();
      for (const fired of firstOfEachReason(judged.fired)) {
        signalCount += this.#submit(fired, {
          ...{ namespace: pod.namespace, podName: pod.podName, podUid, observedTime },
          containerName: container.containerName,
        });
      }
    }
    this.#states.set(key, state);
    return signalCount;
  }

  #submit(
    { reason, threshold, value, numbers }: FiredThreshold,
    about: {
      namespace: string;
      podName: string;
      podUid: string;
      containerName: string;
      observedTime: string;
    },
  ): number {
    const { intake, log } = this.#options;
    const answer = intake.submit({ ...about, reason, numbers });
    log.info('a threshold fired', {
      ...{ namespace: about.namespace, podName: about.podName, podUid: about.podUid },
      ...{ reason, threshold, value, outcome: answer.outcome },
      ...(answer.outcome === 'refused' && {
        refusal: answer.reason,
        message: messageOf(answer.message),
      }),
    });
    return answer.outcome === 'sent' ? 1 : 0;
  }
}

/** Two thresholds of the same reason that fire at once are one trouble. */
function firstOfEachReason(fired: readonly FiredThreshold[]): readonly FiredThreshold[] {
  return fired.filter(
    ({ reason }, index) => fired.findIndex((other) => other.reason === reason) === index,
  );
}
