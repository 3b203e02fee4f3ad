import type { PodFacts } from '../../policy/pod-facts.ts';
import { parseKubernetesEvent } from '../../signal/kubernetes-event.ts';
import type { SignalBus } from '../../signal/signal-bus.ts';
import type { WatchSource } from '../../signal/watch-source.ts';
import type { Timeline } from './timeline.ts';
import { demoNamespace } from './workloads.ts';

/** Tells the timeline of every signal that the bus has taken. */
export function observedBus(bus: SignalBus, timeline: Timeline): SignalBus {
  return {
    async putSignals(signals) {
      const refused = await bus.putSignals(signals);
      for (const { reason, podName, numbers } of signals) {
        // Replicas that are not ready yet while they start are no part of this story.
        if (reason === 'ReadinessProbeFailing') continue;
        const count = numbers.failureCount === undefined ? '' : `, failure ${numbers.failureCount}`;
        timeline.say('signal', `${reason} of ${podName}${count}`);
      }
      return refused;
    },
  };
}

const stepOfEvent: Readonly<Record<string, 'probe' | 'decision' | 'sealed' | 'killing'>> = {
  Unhealthy: 'probe',
  Killing: 'killing',
  HeapDumpStarted: 'decision',
  HeapDumpSkipped: 'decision',
  CaptureFailed: 'decision',
  HeapDumpSaved: 'sealed',
  HeapDumpSalvaged: 'sealed',
  EvidenceSaved: 'sealed',
};

/** Follows Events and pods of the demo's namespace until it is aborted. */
export async function observeCluster(
  source: WatchSource,
  timeline: Timeline,
  onRestart: (pod: PodFacts) => void,
  signal: AbortSignal,
): Promise<void> {
  const events = await source.listEvents(demoNamespace);
  const pods = await source.listPods(demoNamespace);
  const watchEvents = source.watchEvents(
    demoNamespace,
    events.resourceVersion,
    (change) => {
      if (change.type === 'BOOKMARK' || change.type === 'DELETED') return;
      const event = parseKubernetesEvent(change.object);
      const step = stepOfEvent[event.reason];
      // Readiness and restarts of the other replicas are no part of this story.
      if (step === undefined || (step === 'probe' && !event.message.startsWith('Liveness'))) return;
      const count = step === 'probe' ? ` (${event.count})` : '';
      timeline.say(step, `${event.message.trim()}${count}`);
    },
    signal,
  );
  const watchPods = source.watchPods(
    demoNamespace,
    pods.resourceVersion,
    (change) => {
      if (change.type === 'BOOKMARK') return;
      const [container] = change.object.containers;
      const last = container?.lastTermination;
      if (last === undefined) return;
      const when = last.finishedTime === undefined ? new Date() : new Date(last.finishedTime);
      timeline.say('killed', `${change.object.podName}: exit code ${last.exitCode}`, when);
      if (container?.running === true) onRestart(change.object);
    },
    signal,
  );
  await Promise.all([watchEvents, watchPods]);
}
