import { hrtime } from 'node:process';
import { apiTime, type Pod } from './api-objects.ts';
import type { ObjectTable } from './object-table.ts';

/** The API keeps Events for an hour; here the oldest go once there are more than this. */
const maxEventCount = 2_000;

/**
 * Posts Events as the kubelet and the controllers do: the same words about the same thing again raise the count of
 * the Event that is there, which a watch sees as MODIFIED. The count runs on over a container's restarts.
 */
export class EventRecorder {
  readonly #table: ObjectTable;
  readonly #host: string;
  readonly #names = new Map<string, string>();

  constructor(table: ObjectTable, host: string) {
    this.#table = table;
    this.#host = host;
  }

  record(
    pod: Pod,
    event: { type: 'Normal' | 'Warning'; reason: string; message: string; containerName?: string },
  ): void {
    const { namespace, name, uid } = pod.metadata;
    const fieldPath =
      event.containerName === undefined ? undefined : `spec.containers{${event.containerName}}`;
    const key = JSON.stringify([uid, fieldPath, event.type, event.reason, event.message]);
    const known = this.#names.get(key);
    const now = apiTime();
    const repeated =
      known !== undefined &&
      this.#table.update('events', { namespace, name: known }, (draft) => {
        draft.count = (draft.count ?? 1) + 1;
        draft.lastTimestamp = now;
      });
    if (repeated) return;
    const eventName = `${name}.${hrtime.bigint().toString(16).padStart(16, '0')}`;
    this.#names.set(key, eventName);
    this.#table.create('events', {
      metadata: { name: eventName, namespace },
      involvedObject: {
        apiVersion: 'v1',
        kind: 'Pod',
        namespace,
        name,
        uid,
        resourceVersion: pod.metadata.resourceVersion,
        ...(fieldPath !== undefined && { fieldPath }),
      },
      type: event.type,
      reason: event.reason,
      message: event.message,
      count: 1,
      firstTimestamp: now,
      lastTimestamp: now,
      eventTime: null,
      source: { component: 'kubelet', host: this.#host },
      reportingComponent: 'kubelet',
      reportingInstance: this.#host,
    });
    this.#forgetOldest();
  }

  /** The scheduler's word, in the newer form: eventTime, no count and no other times. */
  recordScheduled(pod: Pod): void {
    const { namespace, name, uid } = pod.metadata;
    this.#table.create('events', {
      metadata: { name: `${name}.${hrtime.bigint().toString(16).padStart(16, '0')}`, namespace },
      involvedObject: { kind: 'Pod', namespace, name, uid },
      type: 'Normal',
      reason: 'Scheduled',
      message: `Successfully assigned ${namespace}/${name} to ${this.#host}`,
      firstTimestamp: null,
      lastTimestamp: null,
      eventTime: new Date().toISOString().replace('Z', '000Z'),
      source: {},
    });
  }

  #forgetOldest(): void {
    if (this.#names.size <= maxEventCount) return;
    const [oldest] = this.#names;
    if (!oldest) return;
    const [key, eventName] = oldest;
    this.#names.delete(key);
    for (const { metadata } of this.#table.list('events')) {
      if (metadata.name === eventName) this.#table.remove('events', metadata.namespace, eventName);
    }
  }
}
