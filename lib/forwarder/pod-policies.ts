import type { Logger } from '../log.ts';
import type { PodFacts } from '../policy/pod-facts.ts';
import type { Policy } from '../policy/policy.ts';
import type { JvmMonitor } from '../policy/jvm-monitor.ts';
import { resolveMonitorPolicy, triggerRefusal } from '../policy/monitor-policy.ts';
import { readPolicy } from '../policy/resolve.ts';
import type { Signal } from '../signal/signal.ts';
import type { JvmMonitors } from './jvm-monitors.ts';
import type { ForwarderMetrics } from './metrics.ts';
import { RecentMap } from './recent-map.ts';

const maxWarnedPodCount = 10_000;

/**
 * The policy that the JvmMonitor of a container and the pod's annotations ask for. A mistyped annotation must neither lose the evidence nor go unheard, nor
 * lift what the others forbid: each counts by itself (readPolicy), the signal is counted and the pod logged once.
 */
export class PodPolicies {
  readonly #metrics: ForwarderMetrics;
  readonly #log: Logger;
  readonly #monitors: Pick<JvmMonitors, 'governing'> | undefined;
  readonly #warned = new RecentMap<true>(maxWarnedPodCount);

  constructor(options: {
    metrics: ForwarderMetrics;
    log: Logger;
    monitors?: Pick<JvmMonitors, 'governing'>;
  }) {
    this.#monitors = options.monitors;
    this.#metrics = options.metrics;
    this.#log = options.log;
  }

  /** The monitor that governs a container; of a pod without a container's name its first one. */
  monitorOf(pod: PodFacts, containerName?: string): JvmMonitor | undefined {
    const name = containerName ?? pod.containers[0]?.containerName;
    return name === undefined ? undefined : this.#monitors?.governing(pod, name);
  }

  /** Whether the sensor's numbers count for a container; its monitor can say that others do. */
  judgesBySensor(pod: PodFacts, containerName: string): boolean {
    return (this.monitorOf(pod, containerName)?.spec.metrics.source ?? 'sensor') === 'sensor';
  }

  /** Why a word about a container counts for nothing by its monitor's triggers; `undefined` when it does count. */
  refusalOf(
    pod: PodFacts,
    containerName: string,
    { reason, alertName }: Pick<Signal, 'reason' | 'alertName'>,
  ): string | undefined {
    const monitor = this.monitorOf(pod, containerName);
    if (monitor === undefined) return undefined;
    return triggerRefusal(monitor, { reason, ...(alertName === undefined ? {} : { alertName }) });
  }

  of(pod: PodFacts, containerName?: string): Policy {
    const monitor = this.monitorOf(pod, containerName);
    const { policy, faults } =
      monitor === undefined
        ? readPolicy(pod.annotations)
        : resolveMonitorPolicy(monitor, pod.annotations);
    if (faults.length === 0) return policy;
    this.#metrics.policyFaults.inc();
    if (this.#warned.get(pod.podUid) === undefined) {
      this.#warned.set(pod.podUid, true);
      this.#log.warn('policy annotations are not valid, the others apply', {
        namespace: pod.namespace,
        podName: pod.podName,
        podUid: pod.podUid,
        faults: faults.join('; ').slice(0, 2_000),
      });
    }
    return policy;
  }
}
