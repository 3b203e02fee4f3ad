import { messageOf } from '../errors.ts';
import type { Logger } from '../log.ts';
import type { PodFacts } from '../policy/pod-facts.ts';
import type { Policy } from '../policy/policy.ts';
import { annotationPrefix, defaultPolicy, resolvePolicy } from '../policy/resolve.ts';
import type { ForwarderMetrics } from './metrics.ts';
import { RecentMap } from './recent-map.ts';

const maxWarnedPodCount = 10_000;

/**
 * The policy that a pod's annotations ask for. A mistyped annotation must neither lose the evidence nor go unheard:
 * such a pod gets the built-in default, is counted with each signal and logged once. Only a pod that says
 * `heapcatch.dev/enabled: "false"` is taken at its word whatever else it says.
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
    try {
      return resolvePolicy(pod.annotations);
    } catch (error) {
      this.#metrics.policyFaults.inc();
      if (this.#warned.get(pod.podUid) === undefined) {
        this.#warned.set(pod.podUid, true);
        this.#log.warn('the policy annotations are not valid, the default policy applies', {
          namespace: pod.namespace,
          podName: pod.podName,
          podUid: pod.podUid,
          error: messageOf(error, 2_000),
        });
      }
      const disabled = pod.annotations[`${annotationPrefix}enabled`] === 'false';
      return disabled ? { ...defaultPolicy, enabled: false } : defaultPolicy;
    }
  }
}
