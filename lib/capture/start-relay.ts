import type { CaptureRecord } from '../claim/capture-record.ts';
import { refused, refusedBy, type Refusal, type StartResult } from './agent-reply.ts';
import { measureScript } from './exec-scripts.ts';
import type { Rung } from '../policy/policy.ts';
import type { Clock, ClusterApi } from './ports.ts';
import type { OpenRelayedDump } from './relay-capture.ts';
import { startAgent, type AgentStart } from './start-agent.ts';
import { deliverAgent, lookIntoContainer, placeOf, targetOf } from './start-exec-agent.ts';
import type { Ticket } from './ticket.ts';

/** What the function that starts captures needs to fetch one through exec. */
export interface RelaySettings {
  /** Milliseconds until the function is stopped; the relay ends well before. */
  remainingMillis: () => number;
  openDump: OpenRelayedDump;
  /** Takes what fetches and stores a capture that has begun: for when every signal of the invocation has its answer. */
  defer: (fetch: () => Promise<void>) => void;
  /** Between two connections; a timer unless given. */
  pauseRelay?: (milliseconds: number) => Promise<unknown>;
}

export interface RelayOrder {
  record: CaptureRecord;
  /** As the agent could not fetch it. */
  ticket: Ticket;
  uploadId: string | undefined;
  directories: readonly string[];
  execAgentJar: Uint8Array;
}

/** An agent that keeps what it captures for the function to fetch. */
export interface RelayJob {
  order: RelayOrder;
  java: string;
  /** Its directory in the container. */
  place: string;
  maxDumpBytes: number;
  /** When everything is over, in milliseconds since 1970; the agent then removes what it keeps. */
  deadline: number;
}

/** With a job when there is something to be fetched. */
export interface RelayStart {
  result: StartResult;
  relayJob?: RelayJob;
}

/** Kept of the function's time for the last part, the manifest, and other signals of the invocation. */
const endMarginMillis = 30_000;
/** With less, the evidence is hardly through. */
const minRelaySeconds = 60;
const lookSeconds = 10;
const deliverySeconds = 25;

const measuredBytes = 4 * 1024 * 1024;
const measureSeconds = 10;
/**
 * Of the measured rate. The zeros of the measurement are neither read from a disk nor checked, compressed and stored, and
 * the JVM has to write the dump in the same time.
 */
const rateShare = 0.5;
/** As in planHeapDump: of a dump within it the parts keep their first size, and with it the function's memory. */
const sizeMargin = 1.1;

/**
 * As startAgent; where the container does not reach the bucket, and the policy lets the function fetch what is captured, it
 * is begun so. Only rung exec finds out before it starts.
 */
export async function startOrRelay(
  deps: { cluster: ClusterApi; clock: Clock; settings: { relay?: RelaySettings } },
  rung: Rung,
  start: AgentStart,
  { ticket, uploadId }: Pick<RelayOrder, 'ticket' | 'uploadId'>,
): Promise<RelayStart> {
  const result = await startAgent(deps.cluster, rung, start);
  const { record, directories, execAgentJar } = start;
  const { relay } = deps.settings;
  const isAllowed = record.policy.heapDump.relayMaxMebibytes > 0;
  const isCutOff = result.outcome === 'refused' && result.code === 'StorageUnreachable';
  if (!isCutOff || !isAllowed || relay === undefined || execAgentJar === undefined)
    return { result };
  return startRelay(deps, relay, { record, directories, execAgentJar, ticket, uploadId });
}

/**
 * Delivers the exec agent again, with its ticket, into a container that does not reach the bucket. How large a dump may
 * be is fixed first, from a measured rate, the time there is, policy and estimate: the dump stops the application, and one that
 * cannot get out must not be begun.
 * @returns refused with RelayTimeTooShort, RelayFailed, or what startExecAgent refuses with.
 */
export async function startRelay(
  deps: { cluster: ClusterApi; clock: Clock },
  { remainingMillis }: Pick<RelaySettings, 'remainingMillis'>,
  order: RelayOrder,
): Promise<RelayStart> {
  const { record, execAgentJar } = order;
  const deadline = Math.min(
    deps.clock().getTime() + remainingMillis() - endMarginMillis,
    Date.parse(record.captureDeadlineTime),
  );
  const seconds = (deadline - deps.clock().getTime()) / 1_000;
  if (seconds < minRelaySeconds) {
    const words = `${Math.floor(seconds)} s are left of the function's and the capture's time; a relay needs ${minRelaySeconds}`;
    return { result: refused('RelayTimeTooShort', words) };
  }
  const look = { record, directories: order.directories, isRelayed: true };
  const choice = await lookIntoContainer(deps.cluster, { ...look, deadlineSeconds: lookSeconds });
  if (choice.outcome !== 'chosen') return { result: choice };
  const rate = await measureRate(deps, record);
  if (typeof rate !== 'number') return { result: rate };
  const leftSeconds = Math.max(0, (deadline - deps.clock().getTime()) / 1_000);
  const maxDumpBytes = Math.floor(
    Math.min(
      record.policy.heapDump.relayMaxMebibytes * 1024 ** 2,
      rate * leftSeconds * rateShare,
      (order.ticket.heapDump?.expectedBytes ?? 0) * sizeMargin,
    ),
  );
  const place = `${placeOf(record, choice)}-relay`;
  const result = await deliverAgent(
    deps.cluster,
    { ...look, deadlineSeconds: deliverySeconds },
    choice,
    {
      jar: execAgentJar,
      place,
      input: { relayedTicket: relayedTicket(order.ticket, { maxDumpBytes, deadline }) },
      properties: [],
    },
  );
  if (result.outcome === 'refused') return { result };
  return { result, relayJob: { order, java: choice.java, place, maxDumpBytes, deadline } };
}

/** Bytes per second that an exec brings out of this container, from its first output on. */
async function measureRate(
  { cluster, clock }: { cluster: ClusterApi; clock: Clock },
  record: CaptureRecord,
): Promise<number | Refusal> {
  let begunMillis: number | undefined;
  let bytes = 0;
  try {
    await cluster.exec(
      targetOf(record),
      ['sh', '-c', measureScript, 'heapcatch-measure', `${measuredBytes}`],
      {
        deadlineSeconds: measureSeconds,
        onStdout: (piece) => {
          if (begunMillis === undefined) begunMillis = clock().getTime();
          else bytes += piece.length;
          return Promise.resolve();
        },
      },
    );
  } catch (error) {
    return refusedBy(error);
  }
  if (begunMillis === undefined) {
    return refused('RelayFailed', `an exec brought no output within ${measureSeconds} s`);
  }
  return (bytes * 1_000) / Math.max(1, clock().getTime() - begunMillis);
}

/** Without URLs: whoever fetches what is captured stores it, and a secret that nobody needs is not given out. */
function relayedTicket(
  ticket: Ticket,
  { maxDumpBytes, deadline }: Pick<RelayJob, 'maxDumpBytes' | 'deadline'>,
): string {
  const { schemaVersion, captureId, fencingToken, target, issuedTime } = ticket;
  const { heapDump, evidence } = ticket;
  const document = {
    ...{ schemaVersion, captureId, fencingToken, rung: 'exec', target, issuedTime },
    startDeadlineTime: ticket.startDeadlineTime,
    captureDeadlineTime: new Date(deadline).toISOString(),
    evidence: evidence.map(({ artifact }) => ({ artifact })),
    ...(heapDump && {
      heapDump: {
        codec: heapDump.codec,
        blockBytes: heapDump.blockBytes,
        partBytes: heapDump.partBytes,
        directories: heapDump.directories,
        ...(heapDump.sizeLimits && { sizeLimits: heapDump.sizeLimits }),
        expectedBytes: heapDump.expectedBytes,
      },
    }),
    relay: { maxDumpBytes },
  };
  return Buffer.from(JSON.stringify(document)).toString('base64');
}
