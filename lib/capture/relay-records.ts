import * as z from 'zod';
import { CaptureError } from '../errors.ts';
import { artifacts } from '../policy/policy.ts';
import { manifestSchema } from './manifest.ts';

/** The agent's own bound is 4 MiB. */
const maxEvidenceBytes = 8 * 1024 * 1024;
/** An account with 20 faults of 1,000 characters each. */
const maxLineBytes = 128 * 1024;

/** What the agent says of a capture that is relayed: the manifest without what only who stores it can know. */
export const relayAccount = manifestSchema.omit({ evidence: true, dump: true, leftover: true });
export type RelayAccount = z.output<typeof relayAccount>;

const headSchema = z.discriminatedUnion('kind', [
  z.strictObject({
    kind: z.literal('evidence'),
    artifact: z.enum(artifacts).exclude(['heapDump']),
    bytes: z.number().int().min(0).max(maxEvidenceBytes),
  }),
  z.strictObject({ kind: z.literal('end'), account: relayAccount }),
]);

type EvidenceHead = Pick<
  Extract<z.output<typeof headSchema>, { kind: 'evidence' }>,
  'artifact' | 'bytes'
>;

export type RelayRecord =
  | { kind: 'evidence'; artifact: EvidenceHead['artifact']; body: Buffer }
  | { kind: 'end'; account: RelayAccount };

/**
 * Cuts the stream of records that Spool.java writes: a line of JSON each, and the bytes that it announces. Each artifact
 * comes at most once and nothing after the end, so that no container can make it endless.
 */
export class RelayRecords {
  readonly #seen = new Set<string>();
  #chunks: Buffer[] = [];
  #bytes = 0;
  #open: EvidenceHead | undefined;
  #ended = false;

  /** @throws CaptureError RelayFailed: the agent wrote something else; to ask again would bring the same. */
  *push(bytes: Uint8Array): Generator<RelayRecord> {
    if (bytes.length === 0) return;
    if (this.#ended) throw refused('goes on behind its end');
    // A copy: what came is a view that does not live.
    this.#chunks.push(Buffer.from(bytes));
    this.#bytes += bytes.length;
    // Not joined for each piece: who sends byte by byte would have it done as often.
    if (!this.#open && !bytes.includes(0x0a) && this.#bytes <= maxLineBytes) return;
    for (;;) {
      const record = this.#open ? this.#takeBody(this.#open) : this.#takeLine();
      if (record === 'more') return;
      if (record !== undefined) yield record;
    }
  }

  #takeLine(): RelayRecord | 'more' | undefined {
    const all = this.#joined();
    const end = all.indexOf(0x0a);
    if (end < 0 && all.length <= maxLineBytes) return 'more';
    if (end < 0 || end > maxLineBytes) throw refused(`has a line of over ${maxLineBytes} bytes`);
    const head = parseHead(all.toString('utf8', 0, end));
    this.#keep(all.subarray(end + 1));
    if (head.kind === 'end') {
      if (this.#bytes > 0) throw refused('goes on behind its end');
      this.#ended = true;
      return head;
    }
    const { artifact, bytes } = head;
    if (this.#seen.has(artifact)) throw refused(`brings ${artifact} twice`);
    this.#seen.add(artifact);
    this.#open = { artifact, bytes };
    return undefined;
  }

  #takeBody({ artifact, bytes }: EvidenceHead): RelayRecord | 'more' {
    if (this.#bytes < bytes) return 'more';
    const all = this.#joined();
    this.#keep(all.subarray(bytes));
    this.#open = undefined;
    return { kind: 'evidence', artifact, body: all.subarray(0, bytes) };
  }

  #joined(): Buffer {
    if (this.#chunks.length > 1) this.#chunks = [Buffer.concat(this.#chunks)];
    return this.#chunks[0] ?? Buffer.alloc(0);
  }

  #keep(rest: Buffer): void {
    this.#chunks = rest.length === 0 ? [] : [rest];
    this.#bytes = rest.length;
  }
}

function parseHead(line: string): z.output<typeof headSchema> {
  let document: unknown;
  try {
    document = JSON.parse(line);
  } catch {
    throw refused('has a line that is not JSON');
  }
  const parsed = headSchema.safeParse(document);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  throw refused(
    `has a record whose ${issue?.path.join('.') ?? ''} is not valid: ${issue?.message ?? ''}`,
  );
}

function refused(what: string): CaptureError {
  return new CaptureError(
    'RelayFailed',
    `the account of the agent in the container ${what}`.slice(0, 500),
  );
}
