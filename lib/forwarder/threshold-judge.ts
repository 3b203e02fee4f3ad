import { messageOf } from '../errors.ts';
import type { Logger } from '../log.ts';
import {
  evaluateThresholds,
  initialThresholdState,
  type FiredThreshold,
  type MetricSample,
  type MetricThreshold,
  type ThresholdState,
} from '../policy/thresholds.ts';
import { RecentMap } from './recent-map.ts';
import type { SignalIntake, Word } from './signal-intake.ts';

/** Of which container a sample is, and whose thresholds they are. */
export type JudgedContainer = Pick<Word, 'namespace' | 'podName' | 'monitorName'> & {
  readonly podUid: string;
  readonly containerName: string;
};

/** Holds samples of containers against thresholds, whoever measured them, and submits a word for each reason that fires. */
export class ThresholdJudge {
  readonly #options: { readonly intake: Pick<SignalIntake, 'submit'>; readonly log: Logger };
  readonly #states: RecentMap<ThresholdState>;

  constructor(options: {
    intake: Pick<SignalIntake, 'submit'>;
    log: Logger;
    maxContainerCount: number;
  }) {
    this.#options = options;
    this.#states = new RecentMap(options.maxContainerCount);
  }

  /**
   * @param key of the JVM that was measured: another one of the same container begins anew.
   * @returns how many signals were sent.
   */
  judge(
    key: string,
    thresholds: readonly MetricThreshold[],
    sample: MetricSample,
    container: JudgedContainer,
  ): number {
    const before = this.#states.get(key) ?? initialThresholdState;
    const { state, fired } = evaluateThresholds(thresholds, before, sample);
    this.#states.set(key, state);
    const observedTime = new Date(sample.epochMilliseconds).toISOString();
    return firstOfEachReason(fired).filter((one) => this.#submit(one, container, observedTime))
      .length;
  }

  #submit(
    { reason, threshold, value, numbers }: FiredThreshold,
    container: JudgedContainer,
    observedTime: string,
  ): boolean {
    const { intake, log } = this.#options;
    const answer = intake.submit({ ...container, observedTime, reason, numbers });
    log.info('a threshold fired', {
      ...container,
      ...{ reason, threshold, value, outcome: answer.outcome },
      ...(answer.outcome === 'refused' && {
        refusal: answer.reason,
        message: messageOf(answer.message),
      }),
    });
    return answer.outcome === 'sent';
  }
}

/** Two thresholds of the same reason that fire at once are one trouble. */
function firstOfEachReason(fired: readonly FiredThreshold[]): readonly FiredThreshold[] {
  return fired.filter(
    ({ reason }, index) => fired.findIndex((other) => other.reason === reason) === index,
  );
}
