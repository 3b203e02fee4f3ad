import type { Logger } from '../log.ts';
import type { PodFacts } from '../policy/pod-facts.ts';
import type { Policy } from '../policy/policy.ts';
import { readPolicy } from '../policy/resolve.ts';
import type { ForwarderMetrics } from './metrics.ts';
import { RecentMap } from './recent-map.ts';

const maxWarnedPodCount = 10_000;

/**
 * The policy that a pod's annotations ask for. A mistyped annotation must neither lose the evidence nor go unheard, nor
 * lift what the others forbid: each counts by itself (readPolicy), the signal is counted and the pod logged once.
 */
export class PodPolicies {
  readonly #metrics: ForwarderMetrics;
  readonly #log: Logger;
  readonly #warned = new RecentMap<true>(maxWarnedPodCount);

  constructor(options: { metrics: ForwarderMetrics; log: Logger }) {
    this.#metrics = options.metrics;
    this.#log = options.log;
  }

  of(pod: PodFacts): Policy {
    const { policy, faults } = readPolicy(pod.annotations);
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
