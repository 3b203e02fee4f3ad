import type { IndexEntry } from '../dump-index/index-entry.ts';
import type { CaptureFacts } from './report-schema.ts';

const stepsOfAgent = [
  ['agentStartTime', 'the agent starts'],
  ['jvmFoundTime', 'the JVM is found'],
  ['attachTime', 'the JVM answers the agent'],
  ['dumpStartTime', 'the JVM begins its dump'],
  ['firstByteTime', 'first byte of the dump'],
  ['lastByteTime', 'last byte of the dump'],
  ['durableTime', 'the dump is stored'],
] as const;

/** How a container died and was captured, as its index entry tells it: the page's timeline. */
export function captureFactsOf(entry: IndexEntry): CaptureFacts {
  const { where, why, when, memory } = entry;
  const steps: [string | undefined, string][] = [
    [why.termination?.startedTime, 'that life begins'],
    [
      why.termination?.finishedTime,
      `that life ends: ${why.termination?.reason ?? ''}, exit code ${why.termination?.exitCode ?? ''}`,
    ],
    [when.observedTime, `${why.signalReason}${numbersText(why.numbers)}`],
    [when.acquireTime, 'the capture has its claim'],
    ...stepsOfAgent.map(([key, step]): [string | undefined, string] => [when[key], step]),
    [when.expectedKillTime, 'the kill was expected'],
    [when.sealTime, `indexed as ${entry.state}`],
  ];
  return {
    captureId: entry.captureId,
    workload: `${where.clusterName}/${where.namespace}/${where.workload.kind} ${where.workload.name}`,
    podName: where.podName,
    state: entry.state,
    reason: (why.ending?.explanation ?? why.signalReason).slice(0, 1_000),
    ...(memory && { memory: memory.explanation }),
    timeline: steps
      .filter((step): step is [string, string] => step[0] !== undefined)
      .map(([time, step]) => ({ time, step: step.slice(0, 1_000) }))
      .sort((one, other) => Date.parse(one.time) - Date.parse(other.time)),
  };
}

function numbersText(numbers: Readonly<Record<string, number>>): string {
  const words = Object.entries(numbers)
    .slice(0, 8)
    .map(([name, value]) => `${name} ${value}`);
  return words.length === 0 ? '' : ` (${words.join(', ')})`;
}
