import * as z from 'zod';
import { CaptureError, messageOf } from '../errors.ts';
import type { ExecResult } from './ports.ts';

/** `unconfirmed`: the connection ended without a word, the agent may be at work. */
export type StartResult = { outcome: 'started' | 'unconfirmed' } | Refusal;

/** Nothing runs. `code` is an error's code, or the word with which the agent refused. */
export interface Refusal {
  outcome: 'refused';
  code: string;
  message: string;
  retryable: boolean;
}

/** What `start` of the node agent and the exec agent print, one line. */
const replySchema = z.object({
  outcome: z.enum(['accepted', 'refused']),
  reason: z.string().max(100).optional(),
  message: z.string().max(2_000).optional(),
});
/** Refusals that pass by themselves. */
const passingReasons: readonly string[] = ['Busy', 'Stopping', 'TicketUnavailable'];

/** What the exec that starts an agent came to. */
export function judgeReply({ exitCode, stdout, stderr }: ExecResult): StartResult {
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

export function refused(code: string, message: string): Refusal {
  return { outcome: 'refused', code, message, retryable: false };
}

/** @throws what is not a fault of a port. */
export function refusedBy(error: unknown): Refusal {
  if (!(error instanceof CaptureError)) throw error;
  const { code, retryable } = error;
  return { outcome: 'refused', code, message: messageOf(error), retryable };
}

/** A refusal that a later try can cure, as what makes the function be called again. */
export function asError({ code, message }: Refusal): CaptureError {
  const known = code === 'ClusterUnavailable' ? code : 'AgentStartFailed';
  return new CaptureError(known, message, { retryable: true });
}
