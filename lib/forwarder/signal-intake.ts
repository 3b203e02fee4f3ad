import { CaptureError, messageOf } from '../errors.ts';
import { expectedKill } from '../policy/deadline.ts';
import type { ContainerFacts, PodFacts } from '../policy/pod-facts.ts';
import type { Policy } from '../policy/policy.ts';
import { watchOf, type Watch } from '../policy/watch.ts';
import { signalSchema, type Signal } from '../signal/signal.ts';
import { validate } from '../validation.ts';
import type { Endings } from './endings.ts';
import type { ForwarderMetrics } from './metrics.ts';
import type { PodCache } from './pod-cache.ts';
import type { PodPolicies } from './pod-policies.ts';

/** Why a word about a pod led to no signal. Normal answers, never errors. */
export type IntakeRefusal =
  | 'PodUnknown'
  | 'ContainerUnknown'
  | 'ContainerAmbiguous'
  | 'PolicyDisabled'
  | 'NotTriggered'
  | 'InvalidSignal';

export type IntakeAnswer =
  | { outcome: 'sent'; signal: Signal }
  | { outcome: 'refused'; reason: IntakeRefusal; message: string };

export interface RunningContainer {
  readonly pod: PodFacts;
  readonly container: ContainerFacts;
  readonly policy: Policy;
  /** False where its monitor takes the numbers from elsewhere. */
  readonly judgedBySensor: boolean;
}

/** What somebody other than the API server's watch says of a pod: an alert, a preStop hook, a sensor. */
export type Word = Pick<Signal, 'namespace' | 'podName' | 'reason' | 'observedTime'> &
  Partial<Pick<Signal, 'podUid' | 'containerName' | 'numbers' | 'alertName' | 'monitorName'>>;

/**
 * Makes signals of what is told to the forwarder, by the pods that it knows: a pod of a namespace that it does not watch
 * is unknown, whoever asks. Without a container's name a pod must have one container only.
 */
export class SignalIntake {
  readonly #options: {
    readonly clusterName: string;
    readonly pods: Pick<PodCache, 'get' | 'getByUid'>;
    readonly policies: Pick<PodPolicies, 'of' | 'monitorOf' | 'refusalOf' | 'judgesBySensor'>;
    readonly send: (signal: Signal) => void;
    readonly metrics: Pick<ForwarderMetrics, 'signalsObserved'>;
    readonly endings?: Pick<Endings, 'lastEndOf'>;
  };

  constructor(options: {
    clusterName: string;
    pods: Pick<PodCache, 'get' | 'getByUid'>;
    policies: Pick<PodPolicies, 'of' | 'monitorOf' | 'refusalOf' | 'judgesBySensor'>;
    send: (signal: Signal) => void;
    metrics: Pick<ForwarderMetrics, 'signalsObserved'>;
    endings?: Pick<Endings, 'lastEndOf'>;
  }) {
    this.#options = options;
  }

  /** The watch on a running container, whose last life ended by memory or the JVM; `undefined` when there is none. */
  watchOf(
    { podUid }: Pick<PodFacts, 'podUid'>,
    container: ContainerFacts,
    policy: Policy,
    now: Date,
  ): Watch | undefined {
    const lastEnd = this.#options.endings?.lastEndOf(podUid, container, now.toISOString());
    return lastEnd && watchOf({ lastEnd }, policy, now);
  }

  submit(word: Word): IntakeAnswer {
    const { namespace, podName, podUid } = word;
    const pod = this.#options.pods.get(namespace, podName);
    if (pod === undefined || (podUid !== undefined && podUid !== pod.podUid)) {
      return refused('PodUnknown', `no pod ${namespace}/${podName} is known here`);
    }
    const container = containerOf(pod, word.containerName);
    if ('outcome' in container) return container;
    const { containerName } = container;
    const { policies } = this.#options;
    const policy = policies.of(pod, containerName);
    if (!policy.enabled) {
      return refused('PolicyDisabled', `the policy of ${podName} says enabled: false`);
    }
    const unwanted = policies.refusalOf(pod, containerName, word);
    if (unwanted !== undefined) return refused('NotTriggered', unwanted);
    try {
      const signal = { ...this.#signalOf(word, pod, container), policy };
      this.#options.metrics.signalsObserved.inc({ reason: signal.reason });
      this.#options.send(signal);
      return { outcome: 'sent', signal };
    } catch (error) {
      if (!(error instanceof CaptureError && error.code === 'InvalidSignal')) throw error;
      return refused('InvalidSignal', messageOf(error, 1_000));
    }
  }

  /**
   * The running container with this id of its runtime (containerID without `containerd://`), and the policy of its pod.
   * `undefined` when no such pod or container is known, or the policy is disabled.
   */
  running(podUid: string, runtimeID: string): RunningContainer | undefined {
    const pod = this.#options.pods.getByUid(podUid);
    const container = pod?.containers.find(({ containerID }) =>
      containerID?.endsWith(`://${runtimeID}`),
    );
    if (pod === undefined || container === undefined) return undefined;
    const { containerName } = container;
    const { policies } = this.#options;
    const policy = policies.of(pod, containerName);
    const judgedBySensor = policies.judgesBySensor(pod, containerName);
    return policy.enabled ? { pod, container, policy, judgedBySensor } : undefined;
  }

  #signalOf(word: Word, pod: PodFacts, container: ContainerFacts): Signal {
    const { reason, observedTime } = word;
    const kill = expectedKill(pod, container, { reason, observedTime });
    const raw = {
      ...word,
      schemaVersion: 1,
      clusterName: this.#options.clusterName,
      podUid: pod.podUid,
      containerName: container.containerName,
      containerID: container.containerID,
      nodeName: pod.nodeName,
      expectedKillTime: kill?.sigkillTime.toISOString(),
      monitorName:
        word.monitorName ?? this.#options.policies.monitorOf(pod, container.containerName)?.name,
      numbers: { restartCount: container.restartCount, ...word.numbers },
    };
    return validate(signalSchema, raw, 'InvalidSignal', 'signal');
  }
}

/** The container of that name, or the only one; else why it is none. */
export function containerOf(
  pod: PodFacts,
  containerName: string | undefined,
): ContainerFacts | (IntakeAnswer & { outcome: 'refused' }) {
  const [only] = pod.containers;
  if (containerName === undefined && pod.containers.length === 1 && only !== undefined) return only;
  const names = pod.containers.map((container) => container.containerName).join(', ');
  if (containerName === undefined) {
    return refused(
      'ContainerAmbiguous',
      `pod ${pod.podName} has the containers ${names}; name one`,
    );
  }
  return (
    pod.containers.find((container) => container.containerName === containerName) ??
    refused(
      'ContainerUnknown',
      `pod ${pod.podName} has no container ${containerName}, it has: ${names}`,
    )
  );
}

function refused(reason: IntakeRefusal, message: string): IntakeAnswer & { outcome: 'refused' } {
  return { outcome: 'refused', reason, message };
}
