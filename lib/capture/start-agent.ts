import { z } from 'zod';
import type { CaptureRecord } from '../claim/capture-record.ts';
import { CaptureError, messageOf } from '../errors.ts';
import type { ContainerFacts } from '../policy/pod-facts.ts';
import type { Rung } from '../policy/policy.ts';
import type { ClusterApi, ExecResult } from './ports.ts';

export interface AgentStart {
  record: CaptureRecord;
  container: ContainerFacts;
  /** Planned places for the dump: the ephemeral container mounts the volumes among them. */
  directories: readonly string[];
  nodeAgent: { namespace: string; podName: string; containerName: string } | undefined;
  agentImage: string | undefined;
  /** What exec runs in the node agent's pod. */
  agentCommand: readonly string[];
  ticketUrl: string;
  deadlineSeconds: number;
}

/** `unconfirmed`: the connection ended without a word, the agent may be at work. */
export type StartResult = { outcome: 'started' | 'unconfirmed' } | Refusal;

/** Nothing runs. `code` is an error's code, or the word with which the agent refused. */
export interface Refusal {
  outcome: 'refused';
  code: string;
  message: string;
  retryable: boolean;
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
      return refused('NotSupported', 'this version does not run in the application container');
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

/** What `start` prints, one line. */
const replySchema = z.object({
  outcome: z.enum(['accepted', 'refused']),
  reason: z.string().max(100).optional(),
  message: z.string().max(2_000).optional(),
});
/** Refusals that pass by themselves. */
const passingReasons: readonly string[] = ['Busy', 'Stopping', 'TicketUnavailable'];

function judgeReply({ exitCode, stdout, stderr }: ExecResult): StartResult {
  const reply = parseReply(stdout);
  if (reply?.outcome === 'accepted') return { outcome: 'started' };
  if (reply?.outcome === 'refused') {
    const { reason = 'AgentStartFailed', message = 'the agent gave no reason' } = reply;
    // `start` did not hear from its daemon in time, which may have taken the ticket all the same.
    if (reason === 'AgentUnavailable') return { outcome: 'unconfirmed' };
    return { ...refused(reason, message), retryable: passingReasons.includes(reason) };
  }
  // exec can lose the tail of its output and still say 0.
  if (exitCode === 0) return { outcome: 'started' };
  if (exitCode === undefined) return { outcome: 'unconfirmed' };
  return refused('AgentStartFailed', `exit code ${exitCode}: ${stderr.trim().slice(-300)}`);
}

function parseReply(stdout: string): z.output<typeof replySchema> | undefined {
  const line = stdout.trim().split('\n').at(-1) ?? '';
  try {
    return replySchema.safeParse(JSON.parse(line)).data;
  } catch {
    return undefined;
  }
}

async function startEphemeralContainer(
  cluster: ClusterApi,
  start: AgentStart,
): Promise<StartResult> {
  const { record, container, agentImage } = start;
  if (agentImage === undefined || container.runAsUser === undefined) {
    return refused('AgentStartFailed', 'the agent image or the uid of the container is not known');
  }
  const agent = {
    containerName: agentNameOf('ephemeralContainer', start),
    targetContainerName: record.containerName,
    image: agentImage,
    runAsUser: container.runAsUser,
    // Kubernetes gives a process group 0 where none is asked for and the image has no account of the uid.
    runAsGroup: container.runAsGroup ?? 0,
    env: { HEAPCATCH_TICKET_URL: start.ticketUrl },
    volumeMounts: container.volumeMounts
      // An ephemeral container may not mount a subPath.
      .filter((mount) => mount.subPath === undefined)
      .filter((mount) => start.directories.includes(mount.mountPath))
      .map(({ volumeName, mountPath }) => ({ volumeName, mountPath })),
  };
  for (let tries = 1; ; tries += 1) {
    try {
      const added = await cluster.addEphemeralAgent(record, agent);
      if (added !== 'gone') return { outcome: 'started' };
      return refused('PodAlreadyReplaced', `pod ${record.podName} (${record.podUid}) is gone`);
    } catch (error) {
      const unknown = error instanceof CaptureError && error.code === 'ClusterUnavailable';
      if (!unknown) return refusedBy(error);
      if (tries === maxTries) return { outcome: 'unconfirmed' };
    }
  }
}

function refused(code: string, message: string): Refusal {
  return { outcome: 'refused', code, message, retryable: false };
}

function refusedBy(error: unknown): Refusal {
  if (!(error instanceof CaptureError)) throw error;
  const { code, retryable } = error;
  return { outcome: 'refused', code, message: messageOf(error), retryable };
}
