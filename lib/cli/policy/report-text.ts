import type { PolicyTest, ThresholdVerdict } from '../../policy/policy-test.ts';

/** The report for people: one fact a line, its name before it. */
export function reportText(result: PolicyTest & { assumedPod: boolean }): string {
  const { policy, decision, notSent } = result;
  const { limits } = policy;
  const rows: [string, string][] = [
    ['monitor', result.monitorName ?? 'none selects the container: annotations and defaults hold'],
    ...result.overridden.map((name): [string, string] => ['overridden', name]),
    ...(result.assumedPod
      ? [['pod', 'assumed: running, ready, no annotations'] as [string, string]]
      : []),
    ['container', result.containerName],
    ...result.faults.map((fault): [string, string] => ['fault', fault]),
    ['evidence', policy.evidence.join(', ')],
    ['rungs', policy.rungs.join(', ')],
    [
      'limits',
      `cooldown ${limits.cooldownSeconds} s, ${limits.dumpsPerHourCount} an hour, ${limits.nodeSlotCount} a node, ${limits.clusterSlotCount} a cluster, ${limits.minReadyReplicaCount} other replicas ready`,
    ],
    ['redact', `${policy.redact}${policy.encrypt ? ', encrypted' : ''}`],
    ['retention', retentionWords(policy.retentionDays)],
    ...result.thresholds.map((verdict): [string, string] => ['threshold', words(verdict)]),
    ...(notSent === undefined ? [] : [['no signal', notSent] as [string, string]]),
    ['decision', notSent === undefined ? decisionWords(decision) : 'none: nothing is sent'],
  ];
  const width = Math.max(...rows.map(([name]) => name.length));
  return rows.map(([name, text]) => `${name.padEnd(width)}  ${text}\n`).join('');
}

function retentionWords(days: number | undefined): string {
  return days === undefined ? 'as the stack says' : `${days} days, or less if the stack says so`;
}

function words({ threshold, value, crossed }: ThresholdVerdict): string {
  const { metric, above, below, forSeconds } = threshold;
  const limit = above === undefined ? `below ${below ?? 0}` : `above ${above}`;
  const held = forSeconds > 0 ? ` for ${forSeconds} s` : '';
  const found = value === undefined ? 'not in the signal' : String(value);
  return `${metric} ${limit}${held}: ${found}, ${crossed ? 'crossed' : 'not crossed'}`;
}

function decisionWords(decision: PolicyTest['decision']): string {
  if (decision.decision === 'skip') return `skip, ${decision.reason}: ${decision.message}`;
  const note = decision.note === undefined ? '' : `; ${decision.note}`;
  return `dump of ${decision.artifacts.join(', ')}, heap dump of at most ${decision.expectedBytes} bytes${note}`;
}
