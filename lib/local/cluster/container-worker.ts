import type { ContainerState, ContainerStatus, Pod } from './api-objects.ts';
import { startContainer, StartFailure, type KubeletHost } from './container-start.ts';
import type { ContainerExit, ContainerProcess } from './container-process.ts';
import type { Container, EphemeralContainer, Probe } from './pod-schema.ts';
import { execAttempt, httpAttempt, runProbe, sleep } from './probe-runner.ts';

/** The pod as one of its containers needs it. */
export interface PodContext {
  readonly pod: Pod;
  readonly podIP: string;
  /** The process whose namespace this container shares. */
  targetOf(container: EphemeralContainer): ContainerProcess | undefined;
  changed(): void;
  /** Its processes have ended, and with them its process namespace. */
  ended(containerName: string): void;
}

/** The kubelet gives at least this much after a preStop hook has used the grace period up. */
const minGraceSeconds = 2;
const maxBackoffSeconds = 10;

/** One container through all its restarts: start, probes, kill, back-off. */
export class ContainerWorker {
  readonly spec: Container | EphemeralContainer;
  /** From the Killing Event until the container runs again: the kubelet does nothing else for the pod meanwhile. */
  killingForProbe = false;
  readonly #host: KubeletHost;
  readonly #context: PodContext;
  readonly #restartPolicy: Pod['spec']['restartPolicy'];
  readonly #stopping = new AbortController();
  #state: ContainerState = { waiting: { reason: 'ContainerCreating' } };
  #lastState: ContainerState = {};
  #restartCount = 0;
  #ready = false;
  #started = false;
  #process: ContainerProcess | undefined;
  #containerId: string | undefined;
  #identity: { uid: number; gid: number } | undefined;
  #killing: Promise<void> | undefined;
  #finished = false;

  /** @param restartPolicy of the pod; ephemeral containers never restart. */
  constructor(
    host: KubeletHost,
    context: PodContext,
    spec: Container | EphemeralContainer,
    restartPolicy: Pod['spec']['restartPolicy'],
  ) {
    this.#host = host;
    this.#context = context;
    this.spec = spec;
    this.#restartPolicy = restartPolicy;
  }

  get process(): ContainerProcess | undefined {
    return this.#process;
  }

  /** Ran, and will not run again. */
  get finished(): boolean {
    return this.#finished;
  }

  get exitCode(): number | undefined {
    return this.#state.terminated?.exitCode;
  }

  status(): ContainerStatus {
    return {
      name: this.spec.name,
      image: this.spec.image,
      imageID: this.spec.image,
      ...(this.#containerId !== undefined && { containerID: `containerd://${this.#containerId}` }),
      ready: this.#ready,
      started: this.#started,
      restartCount: this.#restartCount,
      state: this.#state,
      lastState: this.#lastState,
      ...(this.#identity && {
        user: { linux: { ...this.#identity, supplementalGroups: [this.#identity.gid] } },
      }),
    };
  }

  /** Runs the container until it is stopped, ends for good, or cannot be created. */
  async run(): Promise<void> {
    for (let attempt = 0; !this.#stopping.signal.aborted; attempt++) {
      if (attempt > 1 && !(await this.#backOff(attempt - 2))) break;
      const exit = await this.#runOnce(attempt);
      if (exit === 'cannotBeCreated') break;
      if (!this.#restarts(exit)) break;
    }
    this.#finished = true;
    this.killingForProbe = false;
    this.#context.changed();
  }

  /** Stops it for good: preStop, SIGTERM, the grace period, SIGKILL. */
  async stop(graceSeconds: number): Promise<void> {
    this.#stopping.abort();
    if (!this.#process) return;
    this.#record('Normal', 'Killing', `Stopping container ${this.spec.name}`);
    await this.#kill(graceSeconds);
  }

  /** The end without grace: a pod that was deleted by force, or the end of the cluster. */
  abandon(): void {
    this.#stopping.abort();
    this.#process?.kill();
  }

  async #runOnce(attempt: number): Promise<ContainerExit | 'cannotBeCreated'> {
    let process: ContainerProcess;
    try {
      const started = await startContainer(this.#host, this.#context, this.spec);
      process = started.process;
      this.#identity = started.identity;
    } catch (error) {
      if (!(error instanceof StartFailure)) throw error;
      this.#state = { waiting: { reason: error.reason, message: error.message } };
      this.#record('Warning', 'Failed', `Error: ${error.message}`);
      return 'cannotBeCreated';
    }
    if (attempt > 0) {
      if (this.#state.terminated) this.#lastState = this.#state;
      this.#restartCount += 1;
    }
    this.#process = process;
    this.#containerId = process.containerId;
    this.#state = { running: { startedAt: process.startedAt } };
    this.#started = this.spec.startupProbe === undefined;
    this.#ready = this.#started && this.spec.readinessProbe === undefined;
    this.killingForProbe = false;
    this.#record('Normal', 'Created', `Created container: ${this.spec.name}`);
    this.#record('Normal', 'Started', `Started container ${this.spec.name}`);
    // A stop that came while the program was starting has found no process to kill.
    if (this.#stopping.signal.aborted) process.kill();
    const probes = new AbortController();
    this.#startProbes(process, probes.signal);
    this.#context.changed();
    const exit = await process.exited;
    probes.abort();
    this.#host.view.remove(process.containerId);
    this.#process = undefined;
    this.#ready = false;
    this.#started = false;
    const reason = exit.exitCode === 0 ? 'Completed' : 'Error';
    const containerID = `containerd://${process.containerId}`;
    this.#state = { terminated: { containerID, reason, ...exit } };
    this.#context.ended(this.spec.name);
    this.#context.changed();
    return exit;
  }

  #restarts(exit: ContainerExit): boolean {
    if (this.#restartPolicy === 'OnFailure') return exit.exitCode !== 0;
    return this.#restartPolicy === 'Always';
  }

  /** The first restart comes at once, later ones after a growing pause, as with the kubelet, only shorter. */
  async #backOff(times: number): Promise<boolean> {
    const { metadata } = this.#context.pod;
    const place = `${metadata.name}_${metadata.namespace}(${metadata.uid})`;
    const message = `Back-off restarting failed container ${this.spec.name} in pod ${place}`;
    this.#record('Warning', 'BackOff', message);
    if (this.#state.terminated) this.#lastState = this.#state;
    this.#state = { waiting: { reason: 'CrashLoopBackOff', message } };
    this.#context.changed();
    const seconds = Math.min(this.#host.restartBackoffSeconds * 2 ** times, maxBackoffSeconds);
    return sleep(seconds, this.#stopping.signal);
  }

  #startProbes(process: ContainerProcess, signal: AbortSignal): void {
    const { spec } = this;
    const begin = (): void => {
      if (spec.livenessProbe) {
        this.#probe('Liveness', spec.livenessProbe, process, signal, (healthy) => {
          if (!healthy) this.#killForProbe('liveness', spec.livenessProbe);
        });
      }
      if (spec.readinessProbe) {
        this.#probe('Readiness', spec.readinessProbe, process, signal, (healthy) => {
          if (this.#ready === healthy) return;
          this.#ready = healthy;
          this.#context.changed();
        });
      }
    };
    if (!spec.startupProbe) {
      begin();
      return;
    }
    this.#probe('Startup', spec.startupProbe, process, signal, (healthy) => {
      if (!healthy) this.#killForProbe('startup', spec.startupProbe);
      else if (!this.#started) {
        this.#started = true;
        this.#ready = spec.readinessProbe === undefined;
        this.#context.changed();
        begin();
      }
    });
  }

  #probe(
    kind: 'Liveness' | 'Readiness' | 'Startup',
    probe: Probe,
    process: ContainerProcess,
    signal: AbortSignal,
    verdict: (healthy: boolean) => void,
  ): void {
    // The kubelet holds liveness and startup probes during a kill, and startup probes after their success.
    const held = (): boolean =>
      kind !== 'Readiness' &&
      (this.#killing !== undefined || (kind === 'Startup' && this.#started));
    const target = {
      process,
      podIP: this.#context.podIP,
      ports: this.spec.ports ?? [],
    };
    const failure = (message: string): void => {
      if (!held()) this.#record('Warning', 'Unhealthy', `${kind} probe failed: ${message}`);
    };
    const judge = (healthy: boolean): void => {
      if (!held()) verdict(healthy);
    };
    void runProbe(probe, target, { failure, verdict: judge }, signal);
  }

  #killForProbe(kind: 'liveness' | 'startup', probe: Probe | undefined): void {
    if (this.#stopping.signal.aborted) return;
    const words = `Container ${this.spec.name} failed ${kind} probe, will be restarted`;
    this.#record('Normal', 'Killing', words);
    this.killingForProbe = true;
    const { terminationGracePeriodSeconds } = this.#context.pod.spec;
    void this.#kill(probe?.terminationGracePeriodSeconds ?? terminationGracePeriodSeconds);
  }

  /** A second kill joins the first. */
  #kill(graceSeconds: number): Promise<void> {
    this.#killing ??= this.#killNow(graceSeconds).finally(() => {
      this.#killing = undefined;
    });
    return this.#killing;
  }

  async #killNow(graceSeconds: number): Promise<void> {
    const process = this.#process;
    if (!process) return;
    const begin = Date.now();
    const ended = new AbortController();
    void process.exited.then(() => ended.abort());
    await this.#preStop(process, graceSeconds, ended.signal);
    const used = (Date.now() - begin) / 1_000;
    process.signal('SIGTERM');
    if (await sleep(Math.max(graceSeconds - used, minGraceSeconds), ended.signal)) process.kill();
    await process.exited;
  }

  async #preStop(
    process: ContainerProcess,
    graceSeconds: number,
    ended: AbortSignal,
  ): Promise<void> {
    const hook = this.spec.lifecycle?.preStop;
    if (!hook) return;
    if (hook.sleep) {
      await sleep(Math.min(hook.sleep.seconds, graceSeconds), ended);
      return;
    }
    const ports = this.spec.ports ?? [];
    const result = hook.httpGet
      ? await httpAttempt(hook.httpGet, { podIP: this.#context.podIP, ports }, graceSeconds, ended)
      : await execAttempt(hook.exec?.command ?? [], process, graceSeconds);
    if (!result.ok) this.#record('Warning', 'FailedPreStopHook', `PreStopHook failed`);
  }

  #record(type: 'Normal' | 'Warning', reason: string, message: string): void {
    const { pod } = this.#context;
    this.#host.recorder.record(pod, { type, reason, message, containerName: this.spec.name });
  }
}
