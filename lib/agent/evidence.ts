import { createHash } from 'node:crypto';
import type { Manifest } from '../capture/manifest.ts';
import type { Ticket } from '../capture/ticket.ts';
import { CaptureError } from '../errors.ts';
import {
  classHistogramCommand,
  heapInfoCommand,
  nativeMemoryCommand,
  threadsCommand,
} from '../jvm/diagnostic-commands.ts';
import { nativeMemoryIsOff } from '../jvm/native-memory.ts';
import type { EndArtifact } from '../policy/policy.ts';
import type { AttachedJvm } from './attach.ts';
import type { PutBody } from './put-object.ts';

type EvidenceOrder = Ticket['evidence'][number];
/** Evidence that the JVM is asked for; the other is read. */
export type AskedArtifact = Exclude<EvidenceOrder['artifact'], 'processFacts' | EndArtifact>;
export type StoredEvidence = Manifest['evidence'][number];

/** What is kept of one answer; a longer one is cut, and says so in its last line. */
const maxEvidenceBytes = 16 * 1024 * 1024;

const commands: Readonly<Record<AskedArtifact, { command: string; timeoutSeconds: number }>> = {
  heapInfo: { command: heapInfoCommand, timeoutSeconds: 20 },
  threads: { command: threadsCommand, timeoutSeconds: 30 },
  nativeMemory: { command: nativeMemoryCommand, timeoutSeconds: 20 },
  classHistogram: { command: classHistogramCommand, timeoutSeconds: 60 },
};

/** What is stored of a piece of evidence: the same, or encrypted. */
export type Seal = (
  artifact: EvidenceOrder['artifact'],
  chunks: readonly Uint8Array[],
) => readonly Uint8Array[];

export interface EvidenceOptions {
  readonly signal: AbortSignal;
  readonly put: (url: string, body: PutBody) => Promise<unknown>;
  readonly seal: Seal;
  readonly maxBytes?: number;
}

/** What the JVM answered; `stored` is absent of native memory that the JVM does not track. */
export interface CollectedEvidence {
  readonly stored?: StoredEvidence;
  readonly text: () => string;
}

/**
 * Asks the JVM for one piece of evidence and stores it as text, as `seal` leaves it; resolves when it is durable.
 * @throws CaptureError AttachFailed (no answer, or none of that kind), and what the put threw.
 */
export async function collectEvidence(
  attached: AttachedJvm,
  { artifact, putUrl }: { artifact: AskedArtifact; putUrl: string },
  { signal, put, seal, maxBytes = maxEvidenceBytes }: EvidenceOptions,
): Promise<CollectedEvidence> {
  const { command, timeoutSeconds } = commands[artifact];
  const reply = await attached.run(command, { timeoutSeconds, signal, maxBytes });
  const text = (): string => Buffer.from(reply.output).toString();
  if (reply.status !== 0) {
    const words = Buffer.from(reply.output.subarray(0, 200)).toString();
    throw new CaptureError(
      'AttachFailed',
      `${artifact}: the JVM answered ${reply.status}, ${JSON.stringify(words)}`,
    );
  }
  if (artifact === 'nativeMemory' && nativeMemoryIsOff(text())) return { text };
  const chunks: Uint8Array[] = [reply.output];
  if (reply.truncated) chunks.push(Buffer.from(`\n[cut: only the first ${maxBytes} bytes]\n`));
  return { stored: await storeEvidence(artifact, { chunks, putUrl, put, seal }), text };
}

/** Stores what was collected; resolves when it is durable. @throws what the put threw. */
export async function storeEvidence(
  artifact: EvidenceOrder['artifact'],
  order: { chunks: readonly Uint8Array[]; putUrl: string } & Pick<EvidenceOptions, 'put' | 'seal'>,
): Promise<StoredEvidence> {
  const { putUrl, put } = order;
  const chunks = order.seal(artifact, order.chunks);
  const digest = createHash('md5');
  for (const chunk of chunks) digest.update(chunk);
  const md5 = digest.digest();
  const bytes = chunks.reduce((sum, chunk) => sum + chunk.length, 0);
  await put(putUrl, { chunks, bytes, md5 });
  return { artifact, bytes, md5: md5.toString('hex') };
}
