import type { Signal } from '../signal/signal.ts';
import type { JvmMonitor, MonitorSelector } from './jvm-monitor.ts';
import { requirementCount, selectorMatches } from './label-selector.ts';
import { policySchema, type Policy } from './policy.ts';
import { readPolicy } from './resolve.ts';
import { withPodRestrictions } from './restrictions.ts';

/** What of a pod a monitor selects by. */
export interface SelectablePod {
  namespace: string;
  labels?: Readonly<Record<string, string>> | undefined;
}

/** Whether a monitor selects this container: of its own namespace, by the pod's labels, by the container's name. */
export function selectsContainer(
  monitor: JvmMonitor,
  pod: SelectablePod,
  containerName: string,
): boolean {
  const { selector } = monitor.spec;
  return (
    monitor.namespace === pod.namespace &&
    (selector.containers?.includes(containerName) ?? true) &&
    selectorMatches(selector, pod.labels ?? {})
  );
}

/**
 * The one monitor that governs a container, as a whole: settings of several are never mixed, so that what applies can be read in one
 * place. The highest priority; of these the most specific selector, by its number of labels, expressions, and a list of
 * containers; of these the first by name. `undefined` when none selects it.
 */
export function governingMonitor(
  monitors: Iterable<JvmMonitor>,
  pod: SelectablePod,
  containerName: string,
): JvmMonitor | undefined {
  let first: JvmMonitor | undefined;
  for (const monitor of monitors) {
    if (!selectsContainer(monitor, pod, containerName)) continue;
    if (first === undefined || comesBefore(monitor, first)) first = monitor;
  }
  return first;
}

function comesBefore(one: JvmMonitor, other: JvmMonitor): boolean {
  if (one.spec.priority !== other.spec.priority) return one.spec.priority > other.spec.priority;
  const specificity = specificityOf(one.spec.selector) - specificityOf(other.spec.selector);
  return specificity === 0 ? one.name < other.name : specificity > 0;
}

function specificityOf(selector: MonitorSelector): number {
  return requirementCount(selector) + (selector.containers === undefined ? 0 : 1);
}

const policyNames = Object.keys(policySchema.shape);
const policyTriggerNames = Object.keys(policySchema.shape.triggers.unwrap().shape);

/** What a monitor asks for, by itself: the policy of a pod without annotations. */
export function policyOfMonitor({ spec }: JvmMonitor): Policy {
  return policySchema.parse({
    ...picked(spec, policyNames),
    triggers: picked(spec.triggers, policyTriggerNames),
  });
}

function picked(object: object, names: readonly string[]): Record<string, unknown> {
  return Object.fromEntries(Object.entries(object).filter(([name]) => names.includes(name)));
}

/**
 * The policy of a container that a monitor governs. The pod's annotations are nearer to it and win where they say when and how
 * (triggers, limits, skip-merge); all others can only restrict what the monitor says.
 * @returns faults of annotations, one sentence each, as readPolicy.
 */
export function resolveMonitorPolicy(
  monitor: JvmMonitor,
  annotations: Readonly<Record<string, string>>,
): { policy: Policy; faults: readonly string[] } {
  const base = policyOfMonitor(monitor);
  const { policy: asked, faults } = readPolicy(annotations, base);
  const restricted = withPodRestrictions(base, annotations);
  const { triggers, limits, heapDump } = asked;
  const { relayMaxMebibytes } = restricted.heapDump;
  const policy = { ...restricted, triggers, limits, heapDump: { ...heapDump, relayMaxMebibytes } };
  return { policy, faults };
}

/** Why a word counts for nothing by a monitor's triggers; `undefined` when it does count. */
export function triggerRefusal(
  { name, spec }: JvmMonitor,
  { reason, alertName = '' }: Pick<Signal, 'reason' | 'alertName'>,
): string | undefined {
  const { alerts, preStop } = spec.triggers;
  if (reason === 'PreStop' && !preStop) return `JvmMonitor ${name} says preStop: false`;
  if (reason !== 'AlertFiring' || alerts === undefined || alerts.includes(alertName)) {
    return undefined;
  }
  const accepted = alerts.length === 0 ? 'none' : alerts.join(', ').slice(0, 500);
  return `alert ${alertName} is none of JvmMonitor ${name}; accepted: ${accepted}`;
}
