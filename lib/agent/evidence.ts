import { createHash } from 'node:crypto';
import type { Manifest } from '../capture/manifest.ts';
import type { Ticket } from '../capture/ticket.ts';
import { CaptureError } from '../errors.ts';
import {
  classHistogramCommand,
  heapInfoCommand,
  threadsCommand,
} from '../jvm/diagnostic-commands.ts';
import type { AttachedJvm } from './attach.ts';
import type { PutBody } from './put-object.ts';

type EvidenceArtifact = Ticket['evidence'][number]['artifact'];
export type StoredEvidence = Manifest['evidence'][number];

/** What is kept of one answer; a longer one is cut, and says so in its last line. */
const maxEvidenceBytes = 16 * 1024 * 1024;

const commands: Readonly<Record<EvidenceArtifact, { command: string; timeoutSeconds: number }>> = {
  heapInfo: { command: heapInfoCommand, timeoutSeconds: 20 },
  threads: { command: threadsCommand, timeoutSeconds: 30 },
  classHistogram: { command: classHistogramCommand, timeoutSeconds: 60 },
};

export interface EvidenceOptions {
  readonly signal: AbortSignal;
  readonly put: (url: string, body: PutBody) => Promise<unknown>;
  readonly maxBytes?: number;
}

/**
 * Asks the JVM for one piece of evidence and stores it as plain text; resolves when it is durable.
 * @throws CaptureError AttachFailed (no answer, or none of that kind), and what the put threw.
 */
export async function collectEvidence(
  attached: AttachedJvm,
  { artifact, putUrl }: Ticket['evidence'][number],
  { signal, put, maxBytes = maxEvidenceBytes }: EvidenceOptions,
): Promise<StoredEvidence> {
  const { command, timeoutSeconds } = commands[artifact];
  const reply = await attached.run(command, { timeoutSeconds, signal, maxBytes });
  if (reply.status !== 0) {
    const words = Buffer.from(reply.output.subarray(0, 200)).toString();
    throw new CaptureError(
      'AttachFailed',
      `${artifact}: the JVM answered ${reply.status}, ${JSON.stringify(words)}`,
    );
  }
  const chunks: Uint8Array[] = [reply.output];
  if (reply.truncated) chunks.push(Buffer.from(`\n[cut: only the first ${maxBytes} bytes]\n`));
  const digest = createHash('md5');
  for (const chunk of chunks) digest.update(chunk);
  const md5 = digest.digest();
  const bytes = chunks.reduce((sum, chunk) => sum + chunk.length, 0);
  await put(putUrl, { chunks, bytes, md5 });
  return { artifact, bytes, md5: md5.toString('hex') };
}
