import { cronAccepted } from '../../../lib/policy/cron-schedule.ts';

interface PlaceRules {
  /** Below `spec`: property names, `[]` for a list's items. */
  readonly path: string;
  readonly description?: string;
  readonly keywords?: Readonly<Record<string, unknown>>;
  readonly rules?: readonly { rule: string; message: string }[];
}

/** Of every threshold of a list: what lib/policy/thresholds.ts asks for beyond types. */
const thresholdRules = [
  {
    rule: "self.metric == 'secondsToLimit' ? has(self.below) && !has(self.above) : has(self.above) && !has(self.below)",
    message: 'secondsToLimit takes below, every other metric takes above',
  },
  {
    rule: '!has(self.rearm) || (has(self.above) ? self.rearm <= self.above : !has(self.below) || self.rearm >= self.below)',
    message: 'rearm must not lie beyond the limit',
  },
  {
    rule: "!has(self.windowSeconds) || self.metric in ['gcTimePercent', 'fullGcCount', 'youngGcPerMinuteCount']",
    message: 'accepted for gcTimePercent, fullGcCount and youngGcPerMinuteCount',
  },
];
const thresholds = (name: string, description: string): PlaceRules[] => [
  { path: `triggers.${name}`, description },
  { path: `triggers.${name}.[]`, rules: thresholdRules },
];

/** Descriptions for `kubectl explain`, and what JSON Schema cannot say. Each rule is a constant number of comparisons: its cost is that of the list it stands in. */
export const monitorRules: readonly PlaceRules[] = [
  { path: 'enabled', description: 'false: nothing is captured of the pods that it governs.' },
  {
    path: 'priority',
    description:
      'Of several monitors that select one container the highest priority governs it, then the selector with more requirements, then the first by name.',
  },
  {
    path: 'selector',
    description: 'Pods of the namespace of the monitor, by labels; at least one requirement.',
    rules: [
      {
        rule: '(has(self.matchLabels) && size(self.matchLabels) > 0) || (has(self.matchExpressions) && size(self.matchExpressions) > 0)',
        message:
          'at least one label or expression; a monitor does not select everything by default',
      },
    ],
  },
  { path: 'selector.matchLabels', keywords: { maxProperties: 32 } },
  {
    path: 'selector.matchExpressions.[]',
    rules: [
      {
        rule: "self.operator in ['In', 'NotIn'] ? has(self.values) && size(self.values) > 0 : !has(self.values) || size(self.values) == 0",
        message: 'In and NotIn need values, Exists and DoesNotExist take none',
      },
    ],
  },
  { path: 'selector.containers', description: 'Containers of these pods; absent: all.' },
  {
    path: 'metrics',
    description:
      "Where numbers come from: the agent's sensor, the pod's own metrics page, or Prometheus.",
    rules: [
      {
        rule: "!has(self.source) || self.source != 'scrape' || has(self.scrape)",
        message: 'source scrape needs scrape',
      },
      {
        rule: "!has(self.source) || self.source != 'prometheus' || has(self.prometheus)",
        message: 'source prometheus needs prometheus',
      },
    ],
  },
  {
    path: 'metrics.prometheus.queries',
    description: 'PromQL by the metric that it yields; series need the labels namespace and pod.',
    keywords: { minProperties: 1 },
  },
  ...thresholds(
    'heapNearLimit',
    'Thresholds of the signal HeapNearLimit; an empty list turns it off.',
  ),
  ...thresholds('gcStorm', 'Thresholds of the signal GcStorm; an empty list turns it off.'),
  ...thresholds(
    'cgroupNearLimit',
    'Thresholds of the signal CgroupNearLimit; an empty list turns it off.',
  ),
  {
    path: 'triggers.restarts',
    description:
      'After so many restarts within the window the next life is dumped at the age of afterSeconds.',
  },
  {
    path: 'triggers.oomKilled',
    description: 'A life that follows an OOMKill is dumped at the age of afterSeconds.',
  },
  {
    path: 'triggers.alerts',
    description: 'Names of the alerts that count; absent: all, empty: none.',
  },
  { path: 'triggers.preStop', description: 'Whether the request of a preStop hook counts.' },
  { path: 'triggers.schedules', description: `UTC; ${cronAccepted}.` },
  {
    path: 'triggers.schedules.[]',
    keywords: { maxLength: 100, pattern: String.raw`^\s*\S+(\s+\S+){4}\s*$` },
  },
  {
    path: 'retentionDays',
    description:
      'How long captures are kept, in days; absent: as the stack says, and never longer than that.',
    keywords: { type: 'integer' },
  },
  { path: 'evidence', keywords: { 'x-kubernetes-list-type': 'set' } },
  { path: 'rungs', keywords: { 'x-kubernetes-list-type': 'set' } },
];
