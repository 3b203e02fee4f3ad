import type { ClusterApi } from '../capture/ports.ts';
import type { RegisteredCluster } from '../cluster-access.ts';
import type { Logger } from '../log.ts';
import { bodyOf, refused, type ApiCall } from './api-call.ts';
import { ClusterConnection } from './connection.ts';
import { addEphemeralContainers, type ImagePullPolicy } from './ephemeral-agent.ts';
import { execInContainer } from './exec-socket.ts';
import { readLogTail } from './log-tail.ts';
import { walkOwners } from './owner-walk.ts';
import { podEventObject } from './pod-event.ts';
import { isReady, podFactsOf } from './pod-facts.ts';
import { isPodObject, type PodObject } from './pod-object.ts';

export interface ClusterApiOptions {
  /** The kubeconfig's text, YAML or JSON (not its path); in a pod: inClusterKubeconfig(). Or a registered cluster. */
  kubeconfig: string | RegisteredCluster;
  clusterName: string;
  /** Where the DaemonSet of node agents runs. */
  agentNamespace?: string;
  agentLabelSelector?: string;
  agentImagePullPolicy?: ImagePullPolicy;
  logger?: Logger;
}

/** More than one agent pod a node are the old and the new one of an update. */
const maxAgentPodCount = 10;
const maxNamesakeCount = 50;

/**
 * The port to one cluster. Every call has its own timeouts: 5 s to connect, 10 s to answer.
 * Adds to the port's faults: ClusterRefused (permanent) when the API finds a request invalid, and AgentStartFailed
 * from exec and addEphemeralAgents when the pod is there but the command or container cannot start.
 * @throws CaptureError InvalidConfiguration when the kubeconfig is not valid.
 */
export function createClusterApi(options: ClusterApiOptions): ClusterApi {
  const connection = new ClusterConnection(options.kubeconfig);
  const { clusterName, logger, agentImagePullPolicy = 'IfNotPresent' } = options;
  return {
    async readPod(namespace, podName) {
      const call: ApiCall = { verb: 'get', resource: 'pods', namespace, name: podName };
      const answer = await connection.request(call);
      if (answer.status === 404) return undefined;
      const pod = bodyOf(call, answer);
      if (!isPodObject(pod)) throw refused(call, answer);
      return podFactsOf(pod, clusterName, await walkOwners(connection, pod));
    },
    findPods: (podName) => findPods(connection, podName),
    findNodeAgent: (nodeName) => findNodeAgent(connection, options, nodeName),
    async exec(target, command, execOptions) {
      const { droppedBytes, ...result } = await execInContainer(
        connection,
        target,
        command,
        execOptions,
      );
      if (droppedBytes > 0) {
        logger?.warn('exec output was larger than 64 KiB', { ...target, droppedBytes });
      }
      return result;
    },
    addEphemeralAgents: (pod, agents) =>
      addEphemeralContainers(connection, pod, agents, agentImagePullPolicy),
    readLogTail: (container, order) => readLogTail(connection, container, order),
    async postPodEvent(pod, event) {
      const call: ApiCall = {
        verb: 'create',
        resource: 'events',
        namespace: pod.namespace,
        body: podEventObject(pod, event, new Date()),
      };
      const answer = await connection.request(call);
      if (answer.status !== 409) bodyOf(call, answer);
    },
  };
}

async function findPods(
  connection: ClusterConnection,
  podName: string,
): Promise<readonly string[]> {
  const call: ApiCall = {
    verb: 'list',
    resource: 'pods',
    namespace: '',
    query: { fieldSelector: `metadata.name=${podName}`, limit: maxNamesakeCount },
  };
  const { items } = bodyOf(call, await connection.request(call)) as { items: PodObject[] };
  return items.map(({ metadata }) => metadata.namespace);
}

async function findNodeAgent(
  connection: ClusterConnection,
  options: ClusterApiOptions,
  nodeName: string,
): Promise<{ namespace: string; podName: string; containerName: string } | undefined> {
  const call: ApiCall = {
    verb: 'list',
    resource: 'pods',
    namespace: options.agentNamespace ?? 'heapcatch',
    query: {
      labelSelector: options.agentLabelSelector ?? 'app.kubernetes.io/name=heapcatch-agent',
      fieldSelector: `spec.nodeName=${nodeName},status.phase=Running`,
      limit: maxAgentPodCount,
    },
  };
  const answer = await connection.request(call);
  const { items } = bodyOf(call, answer) as { items: PodObject[] };
  const agent = items.find((pod) => isReady(pod) && !pod.metadata.deletionTimestamp);
  const container = agent?.spec.containers[0];
  if (!agent || !container) return undefined;
  return {
    namespace: agent.metadata.namespace,
    podName: agent.metadata.name,
    containerName: container.name,
  };
}
