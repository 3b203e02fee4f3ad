import type { ChildProcess } from 'node:child_process';
import { ApiError } from './api-error.ts';
import { apiTime, type Pod, type PodCondition, type PodStatus } from './api-objects.ts';
import type { ContainerProcess } from './container-process.ts';
import { withPrograms, type KubeletHost } from './container-start.ts';
import { ContainerWorker, type PodContext } from './container-worker.ts';
import type { EphemeralContainer } from './pod-schema.ts';

/** One pod on the node: its containers, its ephemeral containers, its status, its end. */
export class PodWorker implements PodContext {
  readonly podIP: string;
  readonly #host: KubeletHost;
  readonly #startTime = apiTime();
  readonly #containers: readonly ContainerWorker[];
  readonly #ephemerals = new Map<string, ContainerWorker>();
  readonly #runs: Promise<void>[] = [];
  #pod: Pod;
  #deleting = false;

  constructor(host: KubeletHost, pod: Pod, podIP: string) {
    this.#host = host;
    this.#pod = pod;
    this.podIP = podIP;
    this.#containers = pod.spec.containers.map(
      (spec) => new ContainerWorker(host, this, spec, pod.spec.restartPolicy),
    );
  }

  get pod(): Pod {
    return this.#pod;
  }

  start(): void {
    this.changed();
    for (const container of this.#containers) this.#runs.push(container.run());
  }

  /** Takes the spec's changes: the only one that is possible is another ephemeral container. */
  update(pod: Pod): void {
    this.#pod = pod;
    this.#startEphemerals();
  }

  /**
   * Stops all containers side by side, then removes the pod. Each has its preStop, SIGTERM and the grace period.
   * No ephemeral container starts any more.
   */
  async terminate(graceSeconds: number): Promise<void> {
    if (this.#deleting) return;
    this.#deleting = true;
    await Promise.all(this.#all().map((container) => container.stop(graceSeconds)));
    await Promise.all(this.#runs);
    this.changed();
    const { namespace, name, uid } = this.#pod.metadata;
    const current = this.#host.table.get('pods', namespace, name);
    if (current?.metadata.uid === uid) this.#host.table.remove('pods', namespace, name);
  }

  /** Ends everything at once; resolves when no process is left. */
  async abandon(): Promise<void> {
    this.#deleting = true;
    for (const container of this.#all()) container.abandon();
    await Promise.all(this.#runs);
  }

  /**
   * Starts a command in a running container.
   * @throws ApiError 400 when there is no such container, 500 when it does not run.
   */
  async exec(containerName: string, command: readonly string[]): Promise<ChildProcess> {
    const { view } = this.#host;
    const child = await this.#running(containerName).exec(withPrograms(this.#host, command));
    view.refresh();
    child.once('exit', () => view.refresh());
    return child;
  }

  /** @throws ApiError as exec() does. */
  requireRunning(containerName: string): void {
    this.#running(containerName);
  }

  targetOf({ targetContainerName }: EphemeralContainer): ContainerProcess | undefined {
    return this.#containers.find(({ spec }) => spec.name === targetContainerName)?.process;
  }

  ended(containerName: string): void {
    for (const ephemeral of this.#ephemerals.values()) {
      const { spec } = ephemeral;
      const shares = 'targetContainerName' in spec && spec.targetContainerName === containerName;
      if (shares) ephemeral.process?.kill();
    }
  }

  changed(): void {
    const { namespace, name, uid } = this.#pod.metadata;
    const updated = this.#host.table.update('pods', { namespace, name, uid }, (draft) => {
      draft.status = this.#status(draft.status);
    });
    if (updated) this.#pod = updated;
    this.#startEphemerals();
  }

  #all(): ContainerWorker[] {
    return [...this.#containers, ...this.#ephemerals.values()];
  }

  #running(containerName: string): ContainerProcess {
    const worker = this.#all().find(({ spec }) => spec.name === containerName);
    if (!worker) {
      throw new ApiError(
        400,
        'BadRequest',
        `container ${containerName} is not valid for pod ${this.#pod.metadata.name}`,
      );
    }
    if (worker.process) return worker.process;
    throw new ApiError(500, 'InternalError', `container not found ("${containerName}")`);
  }

  /** The kubelet starts none while it kills: on a probe kill it waits for the restart, on deletion for ever. */
  #startEphemerals(): void {
    if (this.#deleting || this.#containers.some(({ killingForProbe }) => killingForProbe)) return;
    for (const spec of this.#pod.spec.ephemeralContainers) {
      if (this.#ephemerals.has(spec.name)) continue;
      if (spec.targetContainerName !== undefined && !this.targetOf(spec)) continue;
      const worker = new ContainerWorker(this.#host, this, spec, 'Never');
      this.#ephemerals.set(spec.name, worker);
      this.#runs.push(worker.run());
    }
  }

  #status(previous: PodStatus): PodStatus {
    const statuses = this.#containers.map((container) => container.status());
    const ready = statuses.every((status) => status.ready);
    const ephemeral = [...this.#ephemerals.values()].map((container) => container.status());
    return {
      phase: this.#phase(),
      qosClass: previous.qosClass,
      conditions: conditionsOf(previous.conditions ?? [], {
        PodReadyToStartContainers: true,
        Initialized: true,
        Ready: ready,
        ContainersReady: ready,
        PodScheduled: true,
      }),
      hostIP: this.#host.addresses.serverAddress,
      podIP: this.podIP,
      podIPs: [{ ip: this.podIP }],
      startTime: this.#startTime,
      containerStatuses: statuses,
      ...(ephemeral.length > 0 && { ephemeralContainerStatuses: ephemeral }),
    };
  }

  #phase(): PodStatus['phase'] {
    if (
      this.#containers.every((container) => container.finished && container.exitCode !== undefined)
    ) {
      return this.#containers.every(({ exitCode }) => exitCode === 0) ? 'Succeeded' : 'Failed';
    }
    const begun = this.#containers.every(
      (container) => container.status().containerID !== undefined,
    );
    return begun ? 'Running' : 'Pending';
  }
}

function conditionsOf(
  previous: readonly PodCondition[],
  wanted: Readonly<Record<string, boolean>>,
): PodCondition[] {
  return Object.entries(wanted).map(([type, holds]) => {
    const status = holds ? 'True' : 'False';
    const before = previous.find((condition) => condition.type === type);
    if (before?.status === status) return before;
    return { type, status, lastProbeTime: null, lastTransitionTime: apiTime() };
  });
}
