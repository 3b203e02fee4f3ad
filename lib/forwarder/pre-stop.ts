import type { Logger } from '../log.ts';
import { expectedKill } from '../policy/deadline.ts';
import { judgeDeletion } from '../policy/decide-deletion.ts';
import type { ContainerFacts, PodFacts } from '../policy/pod-facts.ts';
import type { SkipReason } from '../policy/skip.ts';
import { captureIdOf } from '../signal/capture-id.ts';
import type { Signal } from '../signal/signal.ts';
import type { CapturesSeen } from './captures-seen.ts';
import type { Endings } from './endings.ts';
import type { PodCache } from './pod-cache.ts';
import type { PodPolicies } from './pod-policies.ts';
import { RecentMap } from './recent-map.ts';
import { containerOf, type IntakeRefusal, type SignalIntake } from './signal-intake.ts';
import type { Time } from './time.ts';

/** A hook asks again after so long at most: proxies cut connections that rest for longer. */
export const maxWaitSeconds = 20;
/** A kill that the hook knows of comes to the forwarder by its watches, a moment earlier or later. */
const killSeenSeconds = 3;
/** Cold start, decision, claim and start of an agent; and the turn that a policy without cooldown waits for (25 s). */
const unansweredSeconds = 35;
/** For a fresh ask, before an older refusal of the same capture counts. */
const refusalStandsSeconds = 5;
/** Kept for the application's own shutdown. */
const [leastKeptSeconds, mostKeptSeconds] = [2, 10];
const maxHeldCount = 100;
const maxRememberedCount = 10_000;

export interface PreStopAnswer {
  /** Whether the hook is to ask again in place of ending. */
  readonly hold: boolean;
  readonly reason: HoldReason | ReleaseReason;
  /** Names and numbers with units. */
  readonly message: string;
  readonly captureId?: string;
}

type HoldReason =
  /** An agent is at work on the JVM. */
  | 'Capturing'
  /** The signal was sent, and nobody has answered it yet. */
  | 'Asked';
type ReleaseReason =
  /** The dump is written, and the rest of it needs no JVM. */
  | 'JvmReleased'
  | 'Captured'
  /** The functions answered that there is no dump, e.g. because another replica is being dumped. */
  | 'Refused'
  | 'Unanswered'
  /** What is left of the grace period is the application's. */
  | 'GraceOver'
  | SkipReason
  | IntakeRefusal;

/** Who asks, by its token. */
export interface HookCaller {
  readonly namespace: string;
  readonly podName: string;
  readonly podUid: string;
}

export interface PreStopOptions {
  readonly clusterName: string;
  readonly pods: Pick<PodCache, 'get'>;
  readonly policies: Pick<PodPolicies, 'of' | 'refusalOf'>;
  readonly endings: Pick<Endings, 'killerOf' | 'numbersAtKill'>;
  readonly captures: Pick<CapturesSeen, 'running' | 'of' | 'changed'>;
  readonly intake: Pick<SignalIntake, 'submit'>;
  readonly time: Time;
  readonly log: Logger;
}

interface Asked {
  /** RFC 3339, of the first time that a life asked here. */
  readonly askedTime: string;
  sent: boolean;
}

/** The life of a container whose hook asks. */
interface Life extends HookCaller {
  readonly pod: PodFacts;
  readonly container: ContainerFacts;
  readonly asked: Asked;
}

/**
 * Answers preStop hooks: whether the kill that they run in is worth a dump, and for how long the JVM is needed for it. A pod
 * that is not to be dumped is let go at once; one that is dumped already, whatever for, is held. Everything is judged
 * anew at each request, by what the cluster shows; all that is remembered is when a life first asked, so
 * that another replica of the forwarder, or a hook that was started again, comes to the same answer.
 */
export class PreStopHolds {
  readonly #options: PreStopOptions;
  /** By the life of a container. */
  readonly #asked = new RecentMap<Asked>(maxRememberedCount);
  #heldCount = 0;

  constructor(options: PreStopOptions) {
    this.#options = options;
  }

  /**
   * Answers at once where the hook may end, else when it may, after the wait, or at the abort.
   * @param waitSeconds 0 to 20.
   */
  async answer(
    caller: HookCaller,
    { containerName, waitSeconds }: { containerName?: string | undefined; waitSeconds: number },
    signal: AbortSignal,
  ): Promise<PreStopAnswer> {
    // Whoever is one too many is told to come again, and holds no connection meanwhile.
    const waits = this.#heldCount < maxHeldCount;
    this.#heldCount += 1;
    try {
      const end = this.#now() + (waits ? waitSeconds * 1_000 : 0);
      return await this.#answerBy(end, caller, containerName, signal);
    } finally {
      this.#heldCount -= 1;
    }
  }

  async #answerBy(
    end: number,
    caller: HookCaller,
    containerName: string | undefined,
    signal: AbortSignal,
  ): Promise<PreStopAnswer> {
    for (;;) {
      const answer = this.#look(caller, containerName);
      if (!answer.hold || this.#now() >= end || signal.aborted) {
        const { message: explanation, ...what } = answer;
        this.#options.log.info('preStop hook answered', { ...caller, ...what, explanation });
        return answer;
      }
      await this.#rest(caller.podUid, end, signal);
    }
  }

  /** Until the next word about the pod; half a second at most, since not all that counts comes as a word. */
  async #rest(podUid: string, end: number, signal: AbortSignal): Promise<void> {
    const { captures, time } = this.#options;
    const rest = new AbortController();
    const either = AbortSignal.any([signal, rest.signal]);
    const left = Math.min(500, Math.max(0, end - this.#now()));
    await Promise.race([captures.changed(podUid, either), time.sleep(left, either)]);
    rest.abort();
  }

  #look(caller: HookCaller, containerName: string | undefined): PreStopAnswer {
    const pod = this.#options.pods.get(caller.namespace, caller.podName);
    if (pod === undefined || pod.podUid !== caller.podUid) {
      const { namespace, podName, podUid } = caller;
      const message = `no pod ${namespace}/${podName} with uid ${podUid} is known here`;
      return { hold: false, reason: 'PodUnknown', message };
    }
    const container = containerOf(pod, containerName);
    if ('outcome' in container) {
      return { hold: false, reason: container.reason, message: container.message };
    }
    const key = JSON.stringify([pod.podUid, container.containerName, container.containerID]);
    const asked = this.#asked.get(key) ?? { askedTime: this.#nowTime(), sent: false };
    const answer = this.#lookAt({ ...caller, pod, container, asked });
    // Whoever is let go and asks again, by hand or in another kill, begins anew.
    if (answer.hold) this.#asked.set(key, asked);
    else this.#asked.delete(key);
    return answer;
  }

  #lookAt(life: Life): PreStopAnswer {
    const { podUid } = life;
    const now = this.#options.time.now();
    const over = this.#graceOver(life, now);
    const running = this.#options.captures.running(podUid, now);
    if (running !== undefined) {
      const { captureId, message } = running;
      return over ?? { hold: true, reason: 'Capturing', message, captureId };
    }
    const settled = this.#released(life) ?? this.#judged(life);
    if (settled !== undefined) return settled.hold ? (over ?? settled) : settled;
    const asked = this.#ask(life);
    return asked.hold ? (over ?? asked) : asked;
  }

  /** Of a capture that this kill led to. */
  #released(life: Life): PreStopAnswer | undefined {
    const captureId = this.#captureIdOf(life);
    const { ended, jvmReleased, skipped } = this.#options.captures.of(life.podUid, captureId);
    if (ended !== undefined) {
      return { hold: false, reason: 'Captured', message: ended.message, captureId };
    }
    if (jvmReleased === true) {
      const message = 'the JVM has written its dump, and the node agent reads on without it';
      return { hold: false, reason: 'JvmReleased', message, captureId };
    }
    if (skipped === undefined) return undefined;
    const fresh = Date.parse(skipped.time) >= Date.parse(life.asked.askedTime) - 2_000;
    if (!fresh && this.#askedFor(life) < refusalStandsSeconds) return undefined;
    return { hold: false, reason: 'Refused', message: skipped.message, captureId };
  }

  /** Why the kill is not worth a dump; `undefined` when it is, or when the forwarder has not seen yet what kill it is. */
  #judged(life: Life): PreStopAnswer | undefined {
    const { policies, endings } = this.#options;
    const { pod, container } = life;
    const policy = policies.of(pod, container.containerName);
    if (!policy.enabled) {
      const message = `the policy of ${pod.podName} says enabled: false`;
      return { hold: false, reason: 'PolicyDisabled', message };
    }
    const reason = 'PreStop';
    const unwanted = policies.refusalOf(pod, container.containerName, { reason });
    if (unwanted !== undefined) return { hold: false, reason: 'NotTriggered', message: unwanted };
    const killer = endings.killerOf(identityOf(life));
    if (killer === 'startupProbe') {
      const message = 'a container that has not started yet is no trouble';
      return { hold: false, reason: 'StartupProbeFailing', message };
    }
    if (killer === 'livenessProbe') return undefined;
    const seen = killer !== undefined || pod.deletionTime !== undefined;
    if (!seen && this.#askedFor(life) < killSeenSeconds) {
      return { hold: true, reason: 'Asked', message: 'what kills the container is not seen yet' };
    }
    const observedTime = this.#nowTime();
    const numbers = endings.numbersAtKill({ ...identityOf(life), observedTime, policy });
    const verdict = judgeDeletion({ policy, pod, container, signal: { numbers } });
    return 'why' in verdict
      ? undefined
      : { hold: false, reason: verdict.reason, message: verdict.message };
  }

  /** Sends the signal, once. */
  #ask(life: Life): PreStopAnswer {
    const captureId = this.#captureIdOf(life);
    const refusal = life.asked.sent ? undefined : this.#send(life);
    if (refusal !== undefined) return refusal;
    life.asked.sent = true;
    const seconds = this.#askedFor(life);
    const message = `asked for a dump ${Math.round(seconds)} s ago`;
    return seconds < unansweredSeconds
      ? { hold: true, reason: 'Asked', message, captureId }
      : { hold: false, reason: 'Unanswered', message, captureId };
  }

  #send(life: Life): PreStopAnswer | undefined {
    const { intake, endings } = this.#options;
    const { namespace, podName, podUid, container, asked } = life;
    const failureThreshold = container.livenessProbe?.failureThreshold;
    const failing =
      endings.killerOf(identityOf(life)) === 'livenessProbe' && failureThreshold !== undefined;
    const answer = intake.submit({
      ...{ namespace, podName, podUid, containerName: container.containerName },
      ...{ reason: 'PreStop', observedTime: asked.askedTime },
      ...(failing && { numbers: { failureCount: failureThreshold, failureThreshold } }),
    });
    if (answer.outcome === 'sent') return undefined;
    return { hold: false, reason: answer.reason, message: answer.message };
  }

  #graceOver({ pod, container, asked: { askedTime } }: Life, now: Date): PreStopAnswer | undefined {
    const trouble = { reason: 'ContainerKilling', observedTime: askedTime } as const;
    const kill = expectedKill(pod, container, trouble);
    if (kill === undefined) return undefined;
    const graceSeconds = (kill.sigkillTime.getTime() - kill.beginTime.getTime()) / 1_000;
    const kept = Math.min(mostKeptSeconds, Math.max(leastKeptSeconds, graceSeconds / 4));
    const left = (kill.sigkillTime.getTime() - now.getTime()) / 1_000;
    if (left > kept) return undefined;
    const message = `${Math.max(0, Math.floor(left))} s are left of a grace period of ${graceSeconds} s`;
    return { hold: false, reason: 'GraceOver', message };
  }

  #captureIdOf({ pod, container, asked }: Life): string {
    const { clusterName } = this.#options;
    const { containerName, containerID = '' } = container;
    const { podUid } = pod;
    const what = { clusterName, podUid, containerName, containerID };
    return captureIdOf({ ...what, reason: 'PreStop', observedTime: asked.askedTime });
  }

  #askedFor({ asked }: Life): number {
    return (this.#now() - Date.parse(asked.askedTime)) / 1_000;
  }

  #nowTime(): string {
    return this.#options.time.now().toISOString();
  }

  #now(): number {
    return this.#options.time.now().getTime();
  }
}

function identityOf({
  podUid,
  container: { containerName, containerID },
}: Life): Pick<Signal, 'podUid' | 'containerName' | 'containerID'> {
  return { podUid, containerName, ...(containerID === undefined ? {} : { containerID }) };
}
