import type { Signal } from '../signal/signal.ts';
import { decide, type Decision } from './decide.ts';
import type { JvmMonitor } from './jvm-monitor.ts';
import {
  governingMonitor,
  resolveMonitorPolicy,
  selectsContainer,
  triggerRefusal,
} from './monitor-policy.ts';
import type { PodFacts } from './pod-facts.ts';
import { thresholdsOf, type Policy } from './policy.ts';
import { readPolicy } from './resolve.ts';
import { isCrossed } from './threshold-crossing.ts';
import { reasonOfMetric, type MetricThreshold } from './thresholds.ts';

/** How one threshold stands to a signal's numbers. */
export interface ThresholdVerdict {
  threshold: MetricThreshold;
  /** Absent where the signal does not say. */
  value?: number;
  crossed: boolean;
}

export interface PolicyTest {
  containerName: string;
  /** Absent where no monitor selects the container: then annotations and defaults hold. */
  monitorName?: string;
  /** Monitors that select it too, and do not govern it. */
  overridden: string[];
  policy: Policy;
  /** Annotations that cannot be read. */
  faults: readonly string[];
  /** Of a predictive signal: the thresholds that can lead to it. */
  thresholds: ThresholdVerdict[];
  /** Why the forwarder would send no signal at all. */
  notSent?: string;
  /** What the function would decide; with `notSent` it is never asked. */
  decision: Decision;
}

/**
 * What would become of a signal: which monitor governs, what policy that makes with the pod's annotations, whether the
 * monitor's triggers let it pass, and the decision, with no capture of the workload before. Thresholds are held against the signal's
 * numbers alone; for how long a limit must be crossed (`forSeconds`) is for the sensor to see.
 */
export function testPolicy(
  monitors: readonly JvmMonitor[],
  pod: PodFacts,
  signal: Signal,
): PolicyTest {
  const containerName = signal.containerName ?? pod.containers[0]?.containerName ?? '';
  const governor = governingMonitor(monitors, pod, containerName);
  const overridden = monitors
    .filter((one) => one !== governor && selectsContainer(one, pod, containerName))
    .map(({ name }) => name);
  const { policy, faults } =
    governor === undefined
      ? readPolicy(pod.annotations)
      : resolveMonitorPolicy(governor, pod.annotations);
  const thresholds = thresholdsFor(policy, signal);
  const notSent = refusalOf(governor, policy, signal, thresholds);
  return {
    containerName,
    ...(governor === undefined ? {} : { monitorName: governor.name }),
    overridden,
    ...{ policy, faults, thresholds },
    ...(notSent === undefined ? {} : { notSent }),
    decision: decide({
      signal,
      pod,
      policy,
      history: { acquireTimes: [] },
      now: new Date(signal.observedTime),
    }),
  };
}

function refusalOf(
  governor: JvmMonitor | undefined,
  policy: Policy,
  signal: Signal,
  thresholds: readonly ThresholdVerdict[],
): string | undefined {
  if (!policy.enabled) return 'the policy says enabled: false';
  const unwanted = governor && triggerRefusal(governor, signal);
  if (unwanted !== undefined) return unwanted;
  if (!isPredictive(signal) || thresholds.some(({ crossed }) => crossed)) return undefined;
  return thresholds.length === 0
    ? `the policy has no threshold that leads to ${signal.reason}`
    : `no threshold of ${signal.reason} is crossed by the signal's numbers`;
}

function isPredictive({ reason }: Signal): boolean {
  return reason === 'HeapNearLimit' || reason === 'GcStorm' || reason === 'CgroupNearLimit';
}

function thresholdsFor(policy: Policy, { reason, numbers }: Signal): ThresholdVerdict[] {
  return thresholdsOf(policy)
    .filter(({ metric }) => reasonOfMetric(metric) === reason)
    .map((threshold) => {
      const value = numbers[threshold.metric];
      const crossed = value !== undefined && isCrossed(threshold, value);
      return { threshold, crossed, ...(value === undefined ? {} : { value }) };
    });
}
