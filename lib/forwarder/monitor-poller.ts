import { messageOf } from '../errors.ts';
import type { Logger } from '../log.ts';
import type { JvmMonitor } from '../policy/jvm-monitor.ts';
import { thresholdsOf } from '../policy/policy.ts';
import { boundedGet } from './bounded-get.ts';
import type { JvmMonitors, KnownMonitor } from './jvm-monitors.ts';
import { queryPrometheus, scrapePods, type MetricTarget, type Reading } from './metric-sources.ts';
import type { MonitorReporter } from './monitor-reporter.ts';
import type { PodCache } from './pod-cache.ts';
import type { PodPolicies } from './pod-policies.ts';
import type { SignalIntake } from './signal-intake.ts';
import { ThresholdJudge } from './threshold-judge.ts';
import type { Time } from './time.ts';

/** Containers of one monitor; what is beyond is not read, and the status says so. */
export const maxPolledContainerCount = 500;
const maxRememberedContainerCount = 20_000;

export interface MonitorPollerOptions {
  monitors: JvmMonitors;
  pods: Pick<PodCache, 'all'>;
  policies: Pick<PodPolicies, 'of'>;
  intake: Pick<SignalIntake, 'submit'>;
  reporter: Pick<MonitorReporter, 'troubled'>;
  /** Of the Prometheus that monitors' queries go to; never a monitor's own word. */
  prometheusUrl?: string;
  get?: typeof boundedGet;
  time: Time;
  log: Logger;
}

/**
 * Reads the metrics of monitors whose source is not the sensor, and judges them by the thresholds of the policy. A scrape goes
 * to the pod's own address only, a query to the one Prometheus that the forwarder is configured with.
 */
export class MonitorPoller {
  readonly #options: MonitorPollerOptions;
  readonly #thresholds: ThresholdJudge;
  /** By monitor uid. */
  readonly #polls = new Map<string, { nextMilliseconds: number; running: boolean }>();

  constructor(options: MonitorPollerOptions) {
    this.#options = options;
    this.#thresholds = new ThresholdJudge({
      ...options,
      maxContainerCount: maxRememberedContainerCount,
    });
  }

  /** Begins the polls that are due, each monitor's one at a time; does not wait for them. */
  round(signal: AbortSignal): void {
    const now = this.#options.time.now().getTime();
    const uids = new Set<string>();
    for (const known of this.#options.monitors.all()) {
      const { monitor, uid, fault } = known;
      if (monitor === undefined || fault !== undefined || !monitor.spec.enabled) continue;
      if (monitor.spec.metrics.source === 'sensor') continue;
      uids.add(uid);
      const poll = this.#polls.get(uid) ?? { nextMilliseconds: 0, running: false };
      this.#polls.set(uid, poll);
      if (poll.running || now < poll.nextMilliseconds) continue;
      poll.running = true;
      poll.nextMilliseconds = now + monitor.spec.metrics.intervalSeconds * 1_000;
      void this.#poll(known, monitor, signal).finally(() => {
        poll.running = false;
      });
    }
    for (const uid of this.#polls.keys()) if (!uids.has(uid)) this.#polls.delete(uid);
  }

  async #poll(known: KnownMonitor, monitor: JvmMonitor, signal: AbortSignal): Promise<void> {
    try {
      const { targets, leftOut } = this.#targetsOf(monitor);
      const { get = boundedGet, prometheusUrl } = this.#options;
      const { readings, trouble } =
        monitor.spec.metrics.source === 'scrape'
          ? await scrapePods(monitor, targets, get, signal)
          : await queryPrometheus(monitor, targets, prometheusUrl, get, signal);
      if (signal.aborted) return;
      for (const reading of readings) this.#judge(monitor, reading);
      const message = `${leftOut} containers more than the ${maxPolledContainerCount} that are read`;
      const tooMany = leftOut > 0 ? { reason: 'TooManyPods', message } : undefined;
      this.#options.reporter.troubled(known, trouble ?? tooMany);
    } catch (error) {
      this.#options.log.error('the metrics of a JvmMonitor were not read', {
        namespace: monitor.namespace,
        monitorName: monitor.name,
        error: messageOf(error),
      });
    }
  }

  /** Running containers that the monitor governs. */
  #targetsOf(monitor: JvmMonitor): { targets: MetricTarget[]; leftOut: number } {
    const { monitors, pods } = this.#options;
    const targets: MetricTarget[] = [];
    let leftOut = 0;
    for (const pod of pods.all()) {
      if (pod.namespace !== monitor.namespace) continue;
      for (const { containerName, containerID, running } of pod.containers) {
        if (!running || containerID === undefined) continue;
        if (monitors.governing(pod, containerName)?.uid !== monitor.uid) continue;
        if (targets.length < maxPolledContainerCount)
          targets.push({ pod, containerName, containerID });
        else leftOut += 1;
      }
    }
    return { targets, leftOut };
  }

  #judge(monitor: JvmMonitor, { target, values, totals }: Reading): void {
    const { pod, containerName, containerID } = target;
    const { time, policies } = this.#options;
    const thresholds = thresholdsOf(policies.of(pod, containerName));
    const epochMilliseconds = time.now().getTime();
    const sample = { epochMilliseconds, values, ...(totals && { totals }) };
    const { namespace, podName, podUid } = pod;
    this.#thresholds.judge(`${monitor.uid}/${containerID}`, thresholds, sample, {
      ...{ namespace, podName, podUid, containerName },
      monitorName: monitor.name,
    });
  }
}
