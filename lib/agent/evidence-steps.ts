import type { Manifest } from '../capture/manifest.ts';
import type { Ticket } from '../capture/ticket.ts';
import { CaptureError, messageOf } from '../errors.ts';
import { withoutSecrets, type Logger } from '../log.ts';
import { endArtifacts, type Artifact, type EndArtifact } from '../policy/policy.ts';
import { isUnanswered, type AttachedJvm } from './attach.ts';
import {
  collectEvidence,
  storeEvidence,
  type AskedArtifact,
  type Seal,
  type StoredEvidence,
} from './evidence.ts';
import type { JvmReach } from './jvm-reach.ts';
import type { ProcessFacts } from './process-facts.ts';
import type { ProgressReporter } from './progress.ts';
import { sealEvidence } from './seal-stored.ts';
import type { LiveTicket } from './live-ticket.ts';
import type { PutBody } from './put-object.ts';

/** What the steps of the evidence need of a capture. */
export interface EvidenceSteps {
  readonly ticket: Ticket;
  readonly live: Pick<LiveTicket, 'put'>;
  readonly reach: JvmReach;
  readonly manifest: Manifest;
  readonly progress: ProgressReporter;
  readonly log: Logger;
  readonly stop: AbortSignal;
  /** Milliseconds since 1970: evidence that is not stored by then is given up, most of it earlier. */
  readonly partsDeadline: number;
}

const maxEvidencePutMilliseconds = 30_000;

/**
 * Stores what can be read of processes without asking them, if it was ordered. Reads before it resolves the
 * outer promise; the inner one resolves when the text is durable, or a fault is noted. Never rejects.
 */
export async function beginProcessFacts(
  steps: EvidenceSteps,
  pids: readonly number[],
): Promise<{ stored: Promise<void> }> {
  const { ticket, reach, progress } = steps;
  const order = ticket.evidence.find(({ artifact }) => artifact === 'processFacts');
  if (order === undefined || pids.length === 0) return { stored: Promise.resolve() };
  progress.update({ step: 'processFacts' });
  const started = performance.now();
  const described = await reach.describe(pids).then(
    (text) => ({ text }),
    (error: unknown) => ({ error }),
  );
  const store = async (): Promise<void> => {
    try {
      if ('error' in described) throw described.error;
      const chunks = [Buffer.from(described.text)];
      const put = putWith(steps, 'processFacts');
      const what = { chunks, putUrl: order.putUrl, put, seal: sealWith(steps) };
      noteStored(steps, await storeEvidence('processFacts', what), started);
    } catch (error) {
      noteFault(steps, error, 'processFacts: ');
    }
  };
  return { stored: store() };
}

/**
 * Asks the JVM for each piece of evidence that was ordered, each durable before the next begins, and judges
 * its memory. The JVM runs one command at a time: once it has not answered in time, the others are not asked
 * for, since they would only wait behind that one, and before the dump. Threads that cannot be
 * stored go to the JVM's own log instead.
 */
export async function collectAllEvidence(
  steps: EvidenceSteps,
  attached: AttachedJvm,
  jvm: ProcessFacts,
): Promise<void> {
  const { ticket, manifest, progress, log, stop, reach } = steps;
  const unasked: AskedArtifact[] = [];
  let unanswered = false;
  let nativeMemory: string | undefined;
  for (const { artifact, putUrl } of ticket.evidence) {
    if (artifact === 'processFacts' || isEndArtifact(artifact)) continue;
    if (unanswered) {
      unasked.push(artifact);
      continue;
    }
    progress.update({ step: artifact, ...(manifest.jvm && { jvm: manifest.jvm }) });
    const started = performance.now();
    try {
      const order = { artifact, putUrl };
      const { stored, text } = await collectEvidence(attached, order, {
        ...{ signal: stop, put: putWith(steps, artifact), seal: sealWith(steps) },
      });
      if (artifact === 'nativeMemory') nativeMemory = text();
      if (stored) noteStored(steps, stored, started);
      else log.info('the JVM does not track its native memory', { artifact });
    } catch (error) {
      unanswered = isUnanswered(error);
      const words = artifact === 'threads' ? await reach.askForThreadsInLog(jvm) : '';
      noteFault(steps, error, `${artifact}: `, words);
    }
  }
  if (unasked.length > 0) {
    const message = `${unasked.join(', ')}: not asked for, since the JVM did not answer before`;
    const words = unasked.includes('threads') ? await reach.askForThreadsInLog(jvm) : '';
    noteFault(steps, new CaptureError('AttachFailed', message), '', words);
  }
  await noteMemory(steps, jvm, nativeMemory);
}

/** Stores what was read of a file, if it was ordered. Never rejects: a fault is noted. */
export async function storeFromFile(
  steps: EvidenceSteps,
  artifact: EndArtifact,
  read: () => Promise<readonly Uint8Array[]>,
): Promise<void> {
  const order = steps.ticket.evidence.find((one) => one.artifact === artifact);
  if (order === undefined) return;
  const started = performance.now();
  steps.progress.update({ step: artifact });
  try {
    const put = putWith(steps, artifact);
    const what = { chunks: await read(), putUrl: order.putUrl, put, seal: sealWith(steps) };
    noteStored(steps, await storeEvidence(artifact, what), started);
  } catch (error) {
    noteFault(steps, error, `${artifact}: `);
  }
}

function isEndArtifact(artifact: Artifact): artifact is EndArtifact {
  return (endArtifacts as readonly Artifact[]).includes(artifact);
}

/** What is left to do for a JVM that could not be attached to. @returns the end of the fault's sentence. */
export async function collectWithoutAttach(
  steps: EvidenceSteps,
  jvm: ProcessFacts,
): Promise<string> {
  const { ticket, reach, manifest } = steps;
  manifest.jvm = await reach.factsByCounters(jvm);
  await noteMemory(steps, jvm, undefined);
  const threadsWanted = ticket.evidence.some(({ artifact }) => artifact === 'threads');
  return threadsWanted ? reach.askForThreadsInLog(jvm) : '';
}

async function noteMemory(
  { reach, manifest, log }: EvidenceSteps,
  jvm: ProcessFacts,
  nativeMemory: string | undefined,
): Promise<void> {
  manifest.memory = await reach.memoryFacts(jvm, { facts: manifest.jvm, nativeMemory });
  log.info('memory judged', manifest.memory);
}

/** Notes in log and manifest what could not be done. `words` end the sentence. */
export function noteFault(
  { manifest, log }: Pick<EvidenceSteps, 'manifest' | 'log'>,
  error: unknown,
  prefix = '',
  words = '',
): void {
  const code = error instanceof CaptureError ? error.code : 'DumpFailed';
  const text = `${prefix}${messageOf(error, 700)}${words && `; ${words}`}`;
  const message = withoutSecrets(text).slice(0, 1_000);
  log.warn('step failed', { code, reason: message });
  if (manifest.faults.length < 20) manifest.faults.push({ code, message });
}

function noteStored({ manifest, log }: EvidenceSteps, stored: StoredEvidence, started: number) {
  manifest.evidence.push(stored);
  const milliseconds = Math.round(performance.now() - started);
  log.info('evidence stored', { artifact: stored.artifact, bytes: stored.bytes, milliseconds });
}

function sealWith({ ticket }: EvidenceSteps): Seal {
  return (artifact, chunks) => sealEvidence(ticket, artifact, chunks);
}

function putWith({ live, partsDeadline }: EvidenceSteps, artifact: StoredEvidence['artifact']) {
  return (url: string, body: PutBody): Promise<unknown> =>
    live.put(
      ({ evidence }) => evidence.find((order) => order.artifact === artifact)?.putUrl ?? url,
      body,
      { deadline: evidenceDeadline(partsDeadline) },
    );
}

/** An outage of the bucket must not take the time that the dump needs, on whose end it may be over. */
function evidenceDeadline(partsDeadline: number): number {
  const now = Date.now();
  return now + Math.min(maxEvidencePutMilliseconds, (partsDeadline - now) / 8);
}
