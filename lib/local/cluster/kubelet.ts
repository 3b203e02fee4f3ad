import type { ChildProcess } from 'node:child_process';
import { notFound } from './api-error.ts';
import type { Pod } from './api-objects.ts';
import type { KubeletHost } from './container-start.ts';
import { PodWorker } from './pod-worker.ts';
import type { HistoryEntry } from './watch-history.ts';

/** The node: follows the pods in the table and makes them true. */
export class Kubelet {
  readonly #host: KubeletHost;
  readonly #workers = new Map<string, PodWorker>();
  readonly #unsubscribe: () => void;
  #closed = false;

  constructor(host: KubeletHost) {
    this.#host = host;
    // Later, not at once: a change made from here would else reach the watches before the one it answers.
    this.#unsubscribe = host.table.history.subscribe((entry) => {
      if (entry.resource === 'pods') setImmediate(() => this.#follow(entry));
    });
  }

  /** @throws ApiError 404, 400, 500 */
  requireRunning(namespace: string, podName: string, containerName: string): void {
    this.#workerOf(namespace, podName).requireRunning(containerName);
  }

  exec(
    namespace: string,
    podName: string,
    containerName: string,
    command: readonly string[],
  ): Promise<ChildProcess> {
    return this.#workerOf(namespace, podName).exec(containerName, command);
  }

  /** Ends every process of every pod. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#unsubscribe();
    await Promise.all([...this.#workers.values()].map((worker) => worker.abandon()));
  }

  #workerOf(namespace: string, podName: string): PodWorker {
    const pod = this.#host.table.require('pods', namespace, podName);
    const worker = this.#workers.get(pod.metadata.uid);
    if (!worker) throw notFound('pods', podName);
    return worker;
  }

  #follow({ type, object }: HistoryEntry): void {
    if (this.#closed) return;
    const pod = object as Pod;
    const worker = this.#workers.get(pod.metadata.uid);
    if (type === 'DELETED') {
      if (worker) void this.#remove(pod, worker);
    } else if (!worker) {
      this.#admit(pod);
    } else if (pod.metadata.deletionTimestamp !== undefined) {
      worker.update(pod);
      void worker.terminate(pod.metadata.deletionGracePeriodSeconds ?? 0);
    } else {
      worker.update(pod);
    }
  }

  #admit(pod: Pod): void {
    const podIP = this.#host.addresses.take();
    if (podIP === undefined) {
      this.#host.recorder.record(pod, {
        type: 'Warning',
        reason: 'FailedCreatePodSandBox',
        message: 'no free address: the local cluster runs at most 253 pods',
      });
      return;
    }
    this.#host.recorder.recordScheduled(pod);
    const worker = new PodWorker(this.#host, pod, podIP);
    this.#workers.set(pod.metadata.uid, worker);
    worker.start();
  }

  async #remove(pod: Pod, worker: PodWorker): Promise<void> {
    await worker.abandon();
    this.#workers.delete(pod.metadata.uid);
    this.#host.addresses.release(worker.podIP);
  }
}
