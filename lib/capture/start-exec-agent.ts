import { createHash } from 'node:crypto';
import type { CaptureRecord } from '../claim/capture-record.ts';
import { CaptureError, messageOf } from '../errors.ts';
import { judgeReply, refused, refusedBy, type Refusal, type StartResult } from './agent-reply.ts';
import { chooseExecStart, parseProbe, type ExecChoice } from './exec-probe.ts';
import { deliveryScript, probeScript } from './exec-scripts.ts';
import type { ClusterApi } from './ports.ts';
import { withoutEndSlashes } from './mount-path.ts';

export interface ExecAgentStart {
  record: CaptureRecord;
  /** Planned places for the dump; the jar may lie there too. */
  directories: readonly string[];
  execAgentJar?: Uint8Array | undefined;
  ticketUrl: string;
  deadlineSeconds: number;
}

/** What is looked for in the container, and how long that may take. */
export type ExecLook = Pick<ExecAgentStart, 'record' | 'directories' | 'deadlineSeconds'> & {
  /** Its ticket comes by the exec, and what it captures goes out by it. */
  isRelayed?: boolean;
};

/**
 * The heap is small since a part is read from the dump's file and never held. Not -XX:TieredStopAtLevel=1: C1 has no
 * intrinsics for MD5 and SHA-256, and took 2.5 times the CPU for 3 MiB less (docs/decisions/exec.md). No performance
 * data and no attach: to others it must not look like the application's JVM.
 */
const javaOptions = [
  ...['-XX:+IgnoreUnrecognizedVMOptions', '-Xms4m', '-Xmx24m', '-Xss256k', '-XX:+UseSerialGC'],
  ...['-XX:ReservedCodeCacheSize=16m', '-XX:-UsePerfData', '-XX:+DisableAttachMechanism'],
  '-XX:+ExitOnOutOfMemoryError',
];
/** Where the jar may lie beside the places of the dump: some 50 KiB do no harm to a memory volume. */
const otherDirectories = ['/tmp', '/var/tmp', '/dev/shm'];
/** Of the time to start: the rest is for the delivery, in which a JVM has to begin and to fetch its ticket. */
const probeShare = 0.3;

/**
 * Starts the exec agent in the application's own container: looks at what it has, sends the jar, and runs it apart
 * from the exec. The ticket's URL goes over stdin. A refusal is a value, with the reason of the container:
 * ExecAgentNotPackaged, ShellMissing, ShellToolsMissing, JavaMissing, AttachClientUnavailable, NoWritableDirectory,
 * MemoryHeadroomTooSmall, StorageUnreachable, or the code of the cluster's fault.
 */
export async function startExecAgent(
  cluster: ClusterApi,
  start: ExecAgentStart,
): Promise<StartResult> {
  const { execAgentJar, record } = start;
  if (execAgentJar === undefined) {
    return refused('ExecAgentNotPackaged', 'the functions were packaged without the exec agent');
  }
  // The shell's echo would read a backslash as something else.
  if (!/^[!-[\]-~]+$/.test(start.ticketUrl))
    return refused('InvalidTicket', 'the URL of the ticket');
  const choice = await lookIntoContainer(cluster, start);
  if (choice.outcome !== 'chosen') return choice;
  return deliverAgent(cluster, start, choice, {
    jar: execAgentJar,
    place: placeOf(record, choice),
    input: { ticketUrl: start.ticketUrl },
    properties: ['-Dheapcatch.removeJar=true'],
  });
}

/** The directory of one delivery, which `mkdir` makes. */
export function placeOf(
  { captureId, fencingToken }: CaptureRecord,
  { directory }: ExecChoice,
): string {
  return `${withoutEndSlashes(directory)}/.heapcatch-${captureId}-${fencingToken}`;
}

export function targetOf({ namespace, podName, containerName }: CaptureRecord): ExecTarget {
  return { namespace, podName, containerName };
}
type ExecTarget = Parameters<ClusterApi['exec']>[0];

export interface Delivery {
  jar: Uint8Array;
  place: string;
  /** Its first line of input: printable ASCII without a backslash, which the shell's echo would read. */
  input: Readonly<Record<string, string>>;
  properties: readonly string[];
}

/** Sends the jar and runs it apart from the exec. */
export async function deliverAgent(
  cluster: ClusterApi,
  look: ExecLook,
  choice: ExecChoice,
  delivery: Delivery,
): Promise<StartResult> {
  const input = Buffer.from(`${JSON.stringify(delivery.input)}\n`);
  try {
    const reply = await cluster.exec(
      targetOf(look.record),
      deliveryCommand(look, choice, delivery),
      {
        stdin: Buffer.concat([input, delivery.jar]),
        deadlineSeconds: look.deadlineSeconds * (1 - probeShare),
      },
    );
    return judgeReply(reply);
  } catch (error) {
    // The port throws only while the command has not begun. A second try could not tell the first one's traces.
    return refusedBy(error);
  }
}

/** What the container has, and with what the agent is started there. */
export async function lookIntoContainer(
  cluster: ClusterApi,
  { record, directories, deadlineSeconds, isRelayed = false }: ExecLook,
): Promise<ExecChoice | Refusal> {
  const candidates = [...new Set([...directories, ...otherDirectories])];
  try {
    const result = await cluster.exec(
      targetOf(record),
      ['sh', '-c', probeScript, 'heapcatch-probe', ...candidates],
      { deadlineSeconds: deadlineSeconds * probeShare },
    );
    const found = parseProbe(result.stdout);
    if (found !== undefined) return chooseExecStart(found, { isRelayed });
    const { exitCode = 'unknown', stderr } = result;
    return noProbe(`exit code ${exitCode}: ${stderr.trim().slice(-300)}`);
  } catch (error) {
    if (error instanceof CaptureError && error.code === 'AgentStartFailed') {
      return noProbe(messageOf(error));
    }
    return refusedBy(error);
  }
}

/** What containerd, CRI-O and a shell that is none say of a program that is not there. */
function noProbe(words: string): Refusal {
  return /executable file not found|no such file|exit code 12[67]/i.test(words)
    ? refused('ShellMissing', `the container has no shell: ${words}`)
    : {
        ...refused('AgentStartFailed', `the container was not looked at: ${words}`),
        retryable: true,
      };
}

function deliveryCommand(
  { deadlineSeconds }: ExecLook,
  { java, jcmd }: ExecChoice,
  { jar, place, properties }: Delivery,
): readonly string[] {
  const sha256 = createHash('sha256').update(jar).digest('hex');
  const fetchSeconds = Math.max(1, Math.floor(deadlineSeconds * (1 - probeShare) - 4));
  return [
    ...['sh', '-c', deliveryScript, 'heapcatch-exec', place, `${jar.byteLength}`, sha256, java],
    ...javaOptions,
    ...properties,
    ...(jcmd === undefined ? [] : [`-Dheapcatch.jcmd=${jcmd}`]),
    `-Dheapcatch.fetchSeconds=${fetchSeconds}`,
  ];
}
