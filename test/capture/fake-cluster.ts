import type { ClusterApi, EphemeralAgent, ExecResult, PodEvent } from '../../lib/capture/ports.ts';
import { CaptureError } from '../../lib/errors.ts';
import type { ContainerFacts, PodFacts } from '../../lib/policy/pod-facts.ts';

export const gibibyte = 1024 ** 3;

export function containerFacts(changes: Partial<ContainerFacts> = {}): ContainerFacts {
  return {
    containerName: 'app',
    containerID: 'containerd://c1',
    running: true,
    ready: true,
    started: true,
    restartCount: 0,
    startedTime: '2026-01-01T00:00:00Z',
    memoryLimitBytes: gibibyte,
    hasPreStop: false,
    runAsUser: 1000,
    runAsGroup: 1000,
    readOnlyRootFilesystem: false,
    volumeMounts: [],
    ...changes,
  };
}

export function podFacts(
  changes: Partial<PodFacts> = {},
  container: Partial<ContainerFacts> = {},
): PodFacts {
  return {
    clusterName: 'prod',
    namespace: 'shop',
    podName: 'cart-1',
    podUid: 'uid-1',
    nodeName: 'node-1',
    workload: { kind: 'Deployment', name: 'cart' },
    phase: 'Running',
    ready: true,
    terminationGracePeriodSeconds: 30,
    annotations: {},
    containers: [containerFacts(container)],
    ...changes,
  };
}

/** A cluster with one pod, at will with a node agent; it remembers what was asked of it. */
export class FakeCluster implements ClusterApi {
  pod: PodFacts | undefined = podFacts();
  nodeAgent: { namespace: string; podName: string; containerName: string } | undefined = {
    namespace: 'heapcatch',
    podName: 'agent-node-1',
    containerName: 'agent',
  };
  /** What the node agent's `start` answers. */
  execResult: ExecResult = { exitCode: 0, stdout: '{"outcome":"accepted"}\n', stderr: '' };
  execFault: CaptureError | undefined;
  ephemeralResults: ('added' | 'exists' | 'gone' | CaptureError)[] = [];
  /** Runs before the second read of the pod, which is the look just before the start. */
  beforeStart: () => void = () => undefined;

  readonly ticketUrls: string[] = [];
  readonly execCommands: (readonly string[])[] = [];
  readonly ephemeralAgents: EphemeralAgent[] = [];
  readonly events: PodEvent[] = [];
  #readCount = 0;

  readPod: ClusterApi['readPod'] = () => {
    this.#readCount += 1;
    if (this.#readCount > 1) this.beforeStart();
    return Promise.resolve(this.pod);
  };

  findPods: ClusterApi['findPods'] = (podName) =>
    Promise.resolve(this.pod?.podName === podName ? [this.pod.namespace] : []);

  findNodeAgent: ClusterApi['findNodeAgent'] = () => Promise.resolve(this.nodeAgent);

  exec: ClusterApi['exec'] = (_target, command, { stdin = '' }) => {
    if (this.execFault !== undefined) return Promise.reject(this.execFault);
    this.execCommands.push(command);
    if (!/refused/.test(this.execResult.stdout)) {
      const [line = ''] = Buffer.from(stdin).toString('latin1').split('\n');
      this.ticketUrls.push((JSON.parse(line) as { ticketUrl: string }).ticketUrl);
    }
    return Promise.resolve(this.execResult);
  };

  addEphemeralAgents: ClusterApi['addEphemeralAgents'] = (_pod, agents) => {
    const result = this.ephemeralResults.shift() ?? 'added';
    if (result instanceof CaptureError) return Promise.reject(result);
    this.ephemeralAgents.push(...agents);
    if (result === 'added') {
      this.ticketUrls.push(...agents.flatMap(({ env }) => env['HEAPCATCH_TICKET_URL'] ?? []));
    }
    return Promise.resolve(result);
  };

  /** What the last life printed. */
  previousLog: Uint8Array | CaptureError | undefined;
  readonly logReads: unknown[] = [];

  readLogTail: NonNullable<ClusterApi['readLogTail']> = (container, options) => {
    this.logReads.push({ ...container, ...options });
    if (this.previousLog instanceof CaptureError) return Promise.reject(this.previousLog);
    return Promise.resolve(this.previousLog);
  };

  postPodEvent: ClusterApi['postPodEvent'] = (_pod, event) => {
    this.events.push(event);
    return Promise.resolve();
  };
}
