import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { IndexEntry } from '../../dump-index/index-entry.ts';
import { artifacts, type Artifact } from '../../policy/policy.ts';
import { findCapture } from '../captures/index-reader.ts';
import { exitCodes, jsonOption, misunderstood, runShaped } from '../command-line.ts';
import { placeOptions, placeUsage, type Place } from '../place.ts';
import { processIo, type CliIo } from '../process-io.ts';
import { jsonText, lineText } from '../terminal-text.ts';
import { fetchCapture, type FetchOrder } from './fetch-capture.ts';
import type { FileVerdict } from './file-verdict.ts';

export const usage = `heapcatch get CAPTURE [-o FOLDER] [OPTIONS]

Brings a capture here: evidence, heap dump as heap.hprof, and its index entry. Decrypts and decompresses, verifies every
checksum and the dump's record chain. Interrupted, or cut off by the network: the same command again goes on where it ended.
Never writes over a file.

  CAPTURE              a captureId, its first characters (4 at least), the key of its index entry, or s3://BUCKET/KEY
  -o, --output FOLDER  made if it is not there; heapcatch-<captureId> unless told
  --artifact NAME      only this one, may be repeated: heapDump, threads, classHistogram, …
  --compressed         leave the dump as heap.hprof.zst; it is verified all the same
  --json               one JSON object in place of text
${placeUsage}

Needs s3:ListBucket, s3:GetObject on index/ and dumps/, and of an encrypted capture kms:Decrypt on its key.

Exit codes: 0 all is here and as whole as its index entry says; 1 something is not; 2 no such capture, not understood or not
possible; 130 interrupted.
`;

const options = {
  ...placeOptions,
  ...jsonOption,
  output: { type: 'string', short: 'o' },
  artifact: { type: 'string', multiple: true },
  compressed: { type: 'boolean' },
} as const;
const shape = { name: 'get', usage, options, operand: 'CAPTURE' };

/** `heapcatch get`, on the process's own streams and the account of its environment. */
export function runGetCommand(words: readonly string[]): Promise<number> {
  return get(words, processIo());
}

export function get(words: readonly string[], outside: CliIo): Promise<number> {
  return runShaped(shape, words, outside, async (io, values, name) => {
    const wanted = values.artifact === undefined ? undefined : artifactsOf(values.artifact);
    const place = await io.openPlace(values);
    const { objectKey: indexKey, entry } = await findCapture(place, name);
    const folder = values.output ?? `heapcatch-${entry.captureId}`;
    const json = values.json === true;
    const { compressed } = values;
    const order = { indexKey, entry, folder, artifacts: wanted, compressed };
    const { files, holds } = await bringCapture(place, order, io, { silent: json });
    if (json) {
      const { captureId, state } = entry;
      const body = { captureId, state, folder, holds, files };
      io.write(`${jsonText({ schemaVersion: 1, kind: 'CaptureFiles', ...body })}\n`);
    } else if (files.length === 0) {
      io.writeError(`capture ${entry.captureId} (${entry.state}) has nothing of what is wanted\n`);
    }
    return holds ? exitCodes.done : exitCodes.amiss;
  });
}

/** Brings a capture into a folder, which is made if it is not there, and tells of each file as it comes. */
export async function bringCapture(
  place: Pick<Place, 'objects' | 'dataKeys'>,
  order: FetchOrder,
  io: CliIo,
  { silent = false } = {},
): Promise<{ files: readonly FileVerdict[]; holds: boolean }> {
  await mkdir(order.folder, { recursive: true, mode: 0o700 });
  await keepEntry(order.folder, order.entry);
  const files: FileVerdict[] = [];
  for await (const verdict of fetchCapture(place, order, io)) {
    files.push(verdict);
    if (!silent) writeVerdict(io, verdict);
  }
  return { files, holds: files.every((file) => file.holds) };
}

function artifactsOf(names: readonly string[]): ReadonlySet<Artifact> {
  const known = names.map((name) => artifacts.find((artifact) => artifact === name));
  const wrong = names.filter((_, index) => known[index] === undefined);
  if (wrong.length > 0) {
    const accepted = `accepted are ${artifacts.join(', ')}`;
    throw misunderstood(
      `--artifact ${JSON.stringify(wrong.join(', ').slice(0, 200))}: ${accepted}`,
    );
  }
  return new Set(known.filter((artifact) => artifact !== undefined));
}

/** Of a run before it is the same one. */
async function keepEntry(folder: string, entry: IndexEntry): Promise<void> {
  const text = `${JSON.stringify(entry, null, 2)}\n`;
  try {
    await writeFile(join(folder, 'index-entry.json'), text, { flag: 'wx', mode: 0o600 });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
  }
}

function writeVerdict(io: Pick<CliIo, 'write' | 'writeError'>, verdict: FileVerdict): void {
  const where = verdict.path === undefined ? '' : `${verdict.path}: `;
  const line = `${lineText(`${verdict.artifact}: ${where}${verdict.text}`)}\n`;
  if (verdict.holds) io.write(line);
  else io.writeError(line);
}
