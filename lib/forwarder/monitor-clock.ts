import { isScheduledMinute, parseCron } from '../policy/cron-schedule.ts';
import type { JvmMonitor } from '../policy/jvm-monitor.ts';
import type { ContainerFacts, PodFacts } from '../policy/pod-facts.ts';
import type { JvmMonitors } from './jvm-monitors.ts';
import type { PodCache } from './pod-cache.ts';
import { RecentMap } from './recent-map.ts';
import type { Word } from './signal-intake.ts';

const maxRememberedContainerCount = 20_000;
/** Of one schedule's minute: more dumps at once no cluster has slots for. */
const maxScheduledWorkloadCount = 50;
/** A life whose time came this long ago has been dumped, or nobody was there to ask for it. */
const lateSeconds = 120;

interface Restarts {
  restartCount: number;
  /** Of restarts that were seen here, oldest first. */
  times: number[];
}

/**
 * The triggers of a monitor that come with time: schedules, and the life after restarts or an OOMKill. What was seen of
 * restarts is in memory: a new leader counts from its own start. All of these are signals `Scheduled`.
 */
export class MonitorClock {
  readonly #monitors: JvmMonitors;
  readonly #pods: Pick<PodCache, 'all'>;
  readonly #restarts = new RecentMap<Restarts>(maxRememberedContainerCount);
  /** Containers, by id, whose life after a trouble has been asked for. */
  readonly #asked = new RecentMap<true>(maxRememberedContainerCount);
  #lastMinute: number | undefined;

  constructor(monitors: JvmMonitors, pods: Pick<PodCache, 'all'>) {
    this.#monitors = monitors;
    this.#pods = pods;
  }

  /** What is due since the last call; to be called every second or so. A minute that no call fell into is not caught up. */
  due(now: Date): Word[] {
    if (this.#monitors.count === 0) return [];
    const minute = Math.floor(now.getTime() / 60_000);
    const scheduled = this.#lastMinute !== undefined && minute > this.#lastMinute;
    this.#lastMinute = minute;
    const waits = [...this.#monitors.all()].some(({ monitor }) => {
      const { restarts, oomKilled } = monitor?.spec.triggers ?? {};
      return restarts !== undefined || oomKilled !== undefined;
    });
    // Every pod, every second, only for monitors that ask for it.
    if (!scheduled && !waits) return [];
    const words: Word[] = [];
    const workloads = new Map<string, Set<string>>();
    for (const pod of this.#pods.all()) {
      for (const container of pod.containers) {
        const monitor = this.#monitors.governing(pod, container.containerName);
        if (monitor?.spec.enabled !== true) continue;
        const isDue = this.#lifeIsDue(monitor, container, pod, now);
        const isScheduled = scheduled && isScheduledAt(monitor, pod, container, now, workloads);
        if (isDue || isScheduled) words.push(wordOf(monitor, pod, container, now));
      }
    }
    return words;
  }

  #lifeIsDue(monitor: JvmMonitor, container: ContainerFacts, pod: PodFacts, now: Date): boolean {
    const { restarts, oomKilled } = monitor.spec.triggers;
    const count = this.#countOf(pod, container, restarts?.windowSeconds ?? 0, now);
    const { containerID, startedTime, running } = container;
    if (!running || containerID === undefined || startedTime === undefined) return false;
    const ages: number[] = [];
    if (restarts !== undefined && count >= restarts.count) ages.push(restarts.afterSeconds);
    if (oomKilled !== undefined && container.lastTermination?.reason === 'OOMKilled') {
      ages.push(oomKilled.afterSeconds);
    }
    const ageSeconds = (now.getTime() - Date.parse(startedTime)) / 1_000;
    const isDue = ages.some((after) => ageSeconds >= after && ageSeconds < after + lateSeconds);
    if (!isDue || this.#asked.get(containerID) === true) return false;
    this.#asked.set(containerID, true);
    return true;
  }

  /** Restarts seen within the window. */
  #countOf(pod: PodFacts, container: ContainerFacts, windowSeconds: number, now: Date): number {
    const key = `${pod.podUid}/${container.containerName}`;
    const before = this.#restarts.get(key);
    const { restartCount } = container;
    const times = before?.times ?? [];
    const news = before === undefined ? 0 : Math.max(0, restartCount - before.restartCount);
    if (before === undefined || news > 0) {
      const more = Array.from({ length: Math.min(news, 100) }, () => now.getTime());
      this.#restarts.set(key, { restartCount, times: [...times, ...more].slice(-100) });
    }
    const from = now.getTime() - windowSeconds * 1_000;
    return (this.#restarts.get(key)?.times ?? []).filter((time) => time > from).length;
  }
}

/** One ready pod of each workload: its lock allows one dump at a time anyway. */
function isScheduledAt(
  monitor: JvmMonitor,
  pod: PodFacts,
  container: ContainerFacts,
  now: Date,
  workloads: Map<string, Set<string>>,
): boolean {
  if (!pod.ready || !container.running) return false;
  const isNow = monitor.spec.triggers.schedules.some((text) => {
    const schedule = parseCron(text);
    return schedule !== undefined && isScheduledMinute(schedule, now);
  });
  if (!isNow) return false;
  const taken = workloads.get(monitor.uid) ?? new Set<string>();
  workloads.set(monitor.uid, taken);
  const workload = `${pod.workload.kind}/${pod.workload.name}/${container.containerName}`;
  if (taken.has(workload) || taken.size >= maxScheduledWorkloadCount) return false;
  taken.add(workload);
  return true;
}

function wordOf(monitor: JvmMonitor, pod: PodFacts, container: ContainerFacts, now: Date): Word {
  return {
    namespace: pod.namespace,
    podName: pod.podName,
    podUid: pod.podUid,
    containerName: container.containerName,
    reason: 'Scheduled',
    observedTime: now.toISOString(),
    monitorName: monitor.name,
  };
}
