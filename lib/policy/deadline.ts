import type { SignalReason } from '../signal/signal.ts';
import type { ContainerFacts, PodFacts } from './pod-facts.ts';
import type { Rung } from './policy.ts';

/**
 * What the kubelet is expected to do to a container. The heap dump must begin before SIGTERM (a JVM in a dump
 * finishes it before its shutdown hooks run) and end before SIGKILL.
 */
export interface ExpectedKill {
  /** The kubelet begins: preStop runs from here, and no ephemeral container is started any more. */
  beginTime: Date;
  /** The end of preStop; where its length is not known (a command, a request), the earliest possible: `beginTime`. */
  sigtermTime: Date;
  sigkillTime: Date;
}

/** The kubelet leaves at least this between SIGTERM and SIGKILL, also when preStop has used up the grace period. */
const minGraceSeconds = 2;
const lastTime = Date.UTC(9999, 11, 31);

/**
 * When a container will be killed, from the trouble it is in; `undefined` when nothing says that it will be, or
 * when the numbers lead outside the calendar. Where a pod with failing probes is also being deleted, the
 * earlier kill counts. Times are the cluster's clock, to the second at best.
 *
 * A probe kill begins with the last failure, one period apart, and its grace period is the probe's own, else the pod's; a
 * deletion's is the pod's deletionGracePeriodSeconds, and metadata.deletionTimestamp lies that much *after* the request.
 * preStop runs inside the grace period (kubelet: kuberuntime_container.go, killContainer; API reference of Pod).
 * @param trouble observedTime is RFC 3339; failureCount is of failures in a row, 1 when absent.
 */
export function expectedKill(
  pod: PodFacts,
  container: ContainerFacts,
  trouble: { reason: SignalReason; observedTime: string; failureCount?: number | undefined },
): ExpectedKill | undefined {
  const kills = [deletionKill(pod, container, trouble), probeKill(pod, container, trouble)];
  return kills
    .filter((kill) => kill !== undefined)
    .toSorted((a, b) => a.sigkillTime.getTime() - b.sigkillTime.getTime())[0];
}

function deletionKill(
  pod: PodFacts,
  container: ContainerFacts,
  trouble: { reason: SignalReason; observedTime: string },
): ExpectedKill | undefined {
  const graceSeconds = pod.deletionGracePeriodSeconds ?? pod.terminationGracePeriodSeconds;
  if (pod.deletionTime !== undefined) {
    return killFrom(Date.parse(pod.deletionTime) - graceSeconds * 1000, graceSeconds, container);
  }
  if (trouble.reason !== 'PodDeleting') return undefined;
  return killFrom(Date.parse(trouble.observedTime), graceSeconds, container);
}

function probeKill(
  pod: PodFacts,
  container: ContainerFacts,
  trouble: { reason: SignalReason; observedTime: string; failureCount?: number | undefined },
): ExpectedKill | undefined {
  const probe = container.livenessProbe;
  const graceSeconds = probe?.terminationGracePeriodSeconds ?? pod.terminationGracePeriodSeconds;
  const observed = Date.parse(trouble.observedTime);
  if (trouble.reason === 'ContainerKilling') {
    // The killing of a deletion is that deletion's.
    return pod.deletionTime === undefined ? killFrom(observed, graceSeconds, container) : undefined;
  }
  if (trouble.reason !== 'LivenessProbeFailing' || probe === undefined) return undefined;
  const failuresLeft = Math.max(0, probe.failureThreshold - (trouble.failureCount ?? 1));
  return killFrom(observed + failuresLeft * probe.periodSeconds * 1000, graceSeconds, container);
}

function killFrom(
  begin: number,
  graceSeconds: number,
  container: ContainerFacts,
): ExpectedKill | undefined {
  const preStopSeconds = Math.min(container.preStopSeconds ?? 0, graceSeconds);
  const sigterm = begin + preStopSeconds * 1000;
  const sigkill = sigterm + Math.max(minGraceSeconds, graceSeconds - preStopSeconds) * 1000;
  // Also false for NaN, which an unreadable time becomes.
  if (!(begin >= 0 && sigkill <= lastTime)) return undefined;
  return {
    beginTime: new Date(begin),
    sigtermTime: new Date(sigterm),
    sigkillTime: new Date(sigkill),
  };
}

const gibibyte = 1024 ** 3;
/** Of the heap's live bytes; measured on JDK 17 to 25. */
const dumpBytesPerHeapByte = 1.4;
const assumedHeapBytes = 2 * gibibyte;
/** 1.36 GB took 2 to 5.5 s (250 to 680 MB/s); a CPU limit of 1 made it up to 2.8 times longer. */
const dumpBytesPerSecond = 100 * 1024 ** 2;
/** From the decision to the attach: a request and an exec, or a container start of about 1 s with its image pull check. */
const startSeconds: Readonly<Record<Rung, number>> = {
  nodeAgent: 1,
  ephemeralContainer: 4,
  exec: 1,
};

/**
 * Upper estimate of a heap dump's size in bytes: 1.4 times the heap. The heap is not known before the JVM was asked,
 * so the memory limit stands for it, and 2 GiB where there is no limit.
 */
export function expectedDumpBytes(container: ContainerFacts): number {
  return Math.ceil(dumpBytesPerHeapByte * (container.memoryLimitBytes ?? assumedHeapBytes));
}

/** Seconds from the decision until the agent on this rung can ask the JVM anything. */
export function estimateStartSeconds(rung: Rung): number {
  return startSeconds[rung];
}

/** Upper estimate of the seconds from the decision to the end of the heap dump, at 100 MiB/s. */
export function estimateDumpSeconds(container: ContainerFacts, rung: Rung): number {
  return estimateStartSeconds(rung) + expectedDumpBytes(container) / dumpBytesPerSecond;
}
