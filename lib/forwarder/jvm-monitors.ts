import type { Logger } from '../log.ts';
import { readJvmMonitor, type JvmMonitor } from '../policy/jvm-monitor.ts';
import type { MonitorReference } from '../policy/monitor-api.ts';
import { governingMonitor, selectsContainer } from '../policy/monitor-policy.ts';
import { readMonitorStatus, type JvmMonitorStatus } from '../policy/monitor-status.ts';
import type { PodFacts } from '../policy/pod-facts.ts';
import type { WatchChange } from '../signal/watch-source.ts';

/** Of all namespaces; a resource beyond it governs nothing, and the log says so. */
export const maxMonitorCount = 2_000;

/** A resource as the API last showed it. */
export interface KnownMonitor extends MonitorReference {
  generation: number;
  /** What it means; of one that cannot be read that nothing is captured, while its selector can be read. */
  monitor?: JvmMonitor;
  fault?: string;
  /** As it stands in the API. */
  status?: JvmMonitorStatus;
}

/** The JvmMonitors as last seen, by namespace and name. */
export class JvmMonitors {
  readonly #log: Logger;
  readonly #known = new Map<string, Map<string, KnownMonitor>>();
  #count = 0;
  #changeCount = 0;

  constructor(options: { log: Logger }) {
    this.#log = options.log;
  }

  /** Grows with every change of a spec, and with none of a status. */
  get changeCount(): number {
    return this.#changeCount;
  }

  get count(): number {
    return this.#count;
  }

  /** A whole list of a namespace ('' means all): what it does not have any more is forgotten. */
  listed(namespace: string, raws: readonly unknown[]): void {
    const names = new Set<string>();
    for (const raw of raws) {
      const known = this.#put(raw);
      if (known !== undefined) names.add(`${known.namespace}/${known.name}`);
    }
    for (const known of [...this.all()]) {
      const listed = namespace === '' || known.namespace === namespace;
      if (listed && !names.has(`${known.namespace}/${known.name}`)) this.#remove(known);
    }
  }

  changed(change: Exclude<WatchChange<unknown>, { type: 'BOOKMARK' }>): void {
    if (change.type !== 'DELETED') this.#put(change.object);
    else {
      const reference = referenceOf(change.object);
      if (reference !== undefined) this.#remove(reference);
    }
  }

  *all(): Generator<KnownMonitor> {
    for (const monitors of this.#known.values()) yield* monitors.values();
  }

  get(namespace: string, name: string): KnownMonitor | undefined {
    return this.#known.get(namespace)?.get(name);
  }

  /** The one that governs a container, by the order of governingMonitor. */
  governing(pod: PodFacts, containerName: string): JvmMonitor | undefined {
    return governingMonitor(this.#readable(pod.namespace), pod, containerName);
  }

  /** All that select a container, in no order. */
  selecting(pod: PodFacts, containerName: string): JvmMonitor[] {
    return this.#readable(pod.namespace).filter((monitor) =>
      selectsContainer(monitor, pod, containerName),
    );
  }

  #readable(namespace: string): JvmMonitor[] {
    return [...(this.#known.get(namespace)?.values() ?? [])].flatMap(({ monitor }) =>
      monitor === undefined ? [] : [monitor],
    );
  }

  #put(raw: unknown): KnownMonitor | undefined {
    const reference = referenceOf(raw);
    if (reference === undefined) {
      this.#log.warn('a JvmMonitor without namespace, name or uid was passed over');
      return undefined;
    }
    const { namespace, name } = reference;
    const before = this.get(namespace, name);
    if (before === undefined && this.#count >= maxMonitorCount) {
      this.#log.error('too many JvmMonitors, this one governs nothing', {
        namespace,
        monitorName: name,
        maxMonitorCount,
      });
      return undefined;
    }
    const status = readMonitorStatus((raw as { status?: unknown }).status);
    const known = { ...reference, ...readJvmMonitor(raw), ...(status && { status }) };
    const inNamespace = this.#known.get(namespace) ?? new Map<string, KnownMonitor>();
    inNamespace.set(name, known);
    this.#known.set(namespace, inNamespace);
    if (before === undefined) this.#count += 1;
    if (before?.uid !== known.uid || before.generation !== known.generation) {
      this.#changeCount += 1;
      const { generation, fault } = known;
      this.#log.info('JvmMonitor applies', { namespace, monitorName: name, generation, fault });
    }
    return known;
  }

  #remove({ namespace, name }: MonitorReference): void {
    const inNamespace = this.#known.get(namespace);
    if (inNamespace?.delete(name) !== true) return;
    if (inNamespace.size === 0) this.#known.delete(namespace);
    this.#count -= 1;
    this.#changeCount += 1;
    this.#log.info('JvmMonitor is gone', { namespace, monitorName: name });
  }
}

function referenceOf(raw: unknown): (MonitorReference & { generation: number }) | undefined {
  const { metadata } = (raw ?? {}) as { metadata?: unknown };
  const { namespace, name, uid, generation } = (metadata ?? {}) as Record<string, unknown>;
  if (typeof namespace !== 'string' || typeof name !== 'string' || typeof uid !== 'string') {
    return undefined;
  }
  return { namespace, name, uid, generation: typeof generation === 'number' ? generation : 0 };
}
