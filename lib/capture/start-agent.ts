import { randomBytes } from 'node:crypto';
import type { CaptureRecord } from '../claim/capture-record.ts';
import { CaptureError } from '../errors.ts';
import type { ContainerFacts } from '../policy/pod-facts.ts';
import type { Rung } from '../policy/policy.ts';
import { judgeReply, refused, refusedBy, type StartResult } from './agent-reply.ts';
import { ephemeralAgentsOf } from './ephemeral-agents.ts';
import type { ClusterApi } from './ports.ts';
import { startExecAgent } from './start-exec-agent.ts';

export interface AgentStart {
  record: CaptureRecord;
  container: ContainerFacts;
  /** Planned places for the dump: the ephemeral container mounts the volumes among them. */
  directories: readonly string[];
  nodeAgent: { namespace: string; podName: string; containerName: string } | undefined;
  agentImage: string | undefined;
  /** What exec runs in the node agent's pod. */
  agentCommand: readonly string[];
  /** The exec agent; absent where the functions were packaged without it. */
  execAgentJar?: Uint8Array | undefined;
  ticketUrl: string;
  deadlineSeconds: number;
}

/** Name of the node agent's pod or of the ephemeral container; the latter makes a repeat meet its twin. */
export function agentNameOf(rung: Rung, start: Pick<AgentStart, 'record' | 'nodeAgent'>): string {
  return rung === 'nodeAgent' && start.nodeAgent !== undefined
    ? start.nodeAgent.podName
    : `heapcatch-${start.record.captureId.slice(0, 10)}`;
}

/**
 * Starts an agent on one rung. A refusal is a value: nothing runs then, and another rung may be tried.
 * Never throws for what the cluster answers.
 */
export async function startAgent(
  cluster: ClusterApi,
  rung: Rung,
  start: AgentStart,
): Promise<StartResult> {
  switch (rung) {
    case 'nodeAgent':
      return startNodeAgent(cluster, start);
    case 'ephemeralContainer':
      return startEphemeralContainer(cluster, start);
    case 'exec':
      return startExecAgent(cluster, start);
  }
}

/** A lost reply is asked for again: agent and API both take a repeat of the same ticket for what it is. */
const maxTries = 2;

/** The URL goes over stdin: a command line is seen by everyone who may list processes or read audit logs. */
async function startNodeAgent(cluster: ClusterApi, start: AgentStart): Promise<StartResult> {
  if (start.nodeAgent === undefined) return refused('AgentStartFailed', 'no node agent');
  let result: StartResult = { outcome: 'unconfirmed' };
  for (let tries = 0; tries < maxTries && result.outcome === 'unconfirmed'; tries += 1) {
    try {
      const reply = await cluster.exec(start.nodeAgent, start.agentCommand, {
        stdin: `${JSON.stringify({ ticketUrl: start.ticketUrl })}\n`,
        deadlineSeconds: start.deadlineSeconds / maxTries,
      });
      result = judgeReply(reply);
    } catch (error) {
      // The port throws only while the command has not begun; a connection lost later is a result.
      if (tries === 0) return refusedBy(error);
    }
  }
  return result;
}

async function startEphemeralContainer(
  cluster: ClusterApi,
  start: AgentStart,
): Promise<StartResult> {
  const { record, container, agentImage } = start;
  if (agentImage === undefined || container.runAsUser === undefined) {
    return refused('AgentStartFailed', 'the agent image or the uid of the container is not known');
  }
  const agents = ephemeralAgentsOf({
    containerName: agentNameOf('ephemeralContainer', start),
    targetContainerName: record.containerName,
    image: agentImage,
    runAsUser: container.runAsUser,
    // Kubernetes gives a process group 0 where none is asked for and the image has no account of the uid.
    runAsGroup: container.runAsGroup ?? 0,
    container,
    directories: start.directories,
    ticketUrl: start.ticketUrl,
    attacherKey: randomBytes(32).toString('hex'),
    record,
  });
  for (let tries = 1; ; tries += 1) {
    try {
      const added = await cluster.addEphemeralAgents(record, agents);
      if (added !== 'gone') return { outcome: 'started' };
      return refused('PodAlreadyReplaced', `pod ${record.podName} (${record.podUid}) is gone`);
    } catch (error) {
      const unknown = error instanceof CaptureError && error.code === 'ClusterUnavailable';
      if (!unknown) return refusedBy(error);
      if (tries === maxTries) return { outcome: 'unconfirmed' };
    }
  }
}
