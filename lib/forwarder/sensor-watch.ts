import type { Logger } from '../log.ts';
import { levelsOf } from '../policy/notable-levels.ts';
import { thresholdsOf } from '../policy/policy.ts';
import type { MetricThreshold } from '../policy/thresholds.ts';
import { underWatch } from '../policy/watch.ts';
import type { SensedContainer, SensorAnswer, SensorReport } from '../signal/sensor-report.ts';
import { maxHistoryContainerCount, type SensorHistory } from './sensor-history.ts';
import type { RunningContainer, SignalIntake } from './signal-intake.ts';
import { ThresholdJudge } from './threshold-judge.ts';

/** Clocks of nodes differ; what is further off is no sample of now. */
const maxAheadMilliseconds = 30_000;
const maxAgeMilliseconds = 600_000;

export interface SensorWatchOptions {
  readonly intake: Pick<SignalIntake, 'running' | 'submit' | 'watchOf'>;
  readonly history: SensorHistory;
  readonly now: () => Date;
  readonly log: Logger;
}

/** How a report was taken; each container is counted once. Of those taken, what the agent need not wait to tell. */
export interface TakenReport extends SensorAnswer {
  readonly takenCount: number;
  /** Of pods that are not known or whose policy is disabled: another namespace's, a container that has just begun. */
  readonly unknownCount: number;
  readonly signalCount: number;
}

/** Judges what the sensors measured by the policies of the pods, and sends the signals of thresholds that fire. */
export class SensorWatch {
  readonly #options: SensorWatchOptions;
  readonly #thresholds: ThresholdJudge;

  constructor(options: SensorWatchOptions) {
    this.#options = options;
    this.#thresholds = new ThresholdJudge({
      ...options,
      maxContainerCount: maxHistoryContainerCount,
    });
  }

  take({ containers, nodeName }: SensorReport): TakenReport {
    let unknownCount = 0;
    let signalCount = 0;
    const levels: SensorAnswer['levels'] = [];
    for (const sensed of containers) {
      const known = this.#options.intake.running(sensed.podUid, sensed.runtimeID);
      // A node speaks for its own pods alone.
      if (known === undefined || (known.pod.nodeName ?? nodeName) !== nodeName) unknownCount += 1;
      else {
        const thresholds = this.#thresholdsOf(known);
        signalCount += this.#judge(sensed, known, thresholds);
        levels.push({ runtimeID: sensed.runtimeID, levels: levelsOf(thresholds) });
      }
    }
    return { takenCount: containers.length - unknownCount, unknownCount, signalCount, levels };
  }

  #thresholdsOf({ pod, container, policy, judgedBySensor }: RunningContainer): MetricThreshold[] {
    const { intake, now } = this.#options;
    const ordered = judgedBySensor ? thresholdsOf(policy) : [];
    const watched = intake.watchOf(pod, container, policy, now()) !== undefined;
    return watched ? ordered.map(underWatch) : [...ordered];
  }

  #judge(
    { podUid, runtimeID, startTicks, samples }: SensedContainer,
    { pod, container }: RunningContainer,
    thresholds: readonly MetricThreshold[],
  ): number {
    const { history, now } = this.#options;
    const { namespace, podName } = pod;
    const judged = { namespace, podName, podUid, containerName: container.containerName };
    let signalCount = 0;
    for (const sample of samples) {
      const age = now().getTime() - sample.epochMilliseconds;
      if (age < -maxAheadMilliseconds || age > maxAgeMilliseconds) continue;
      history.add(podUid, runtimeID, sample);
      const key = `${podUid}/${runtimeID}/${startTicks}`;
      signalCount += this.#thresholds.judge(key, thresholds, sample, judged);
    }
    return signalCount;
  }
}
