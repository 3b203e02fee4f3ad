import { open, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { decryptDataKey } from '../../aws/kms-data-keys.ts';
import { createS3ObjectStore } from '../../aws/s3-object-store.ts';
import type { DataKeys, ObjectStore } from '../../capture/ports.ts';
import type { SealedAccount } from '../../capture/sealed-reader.ts';
import { messageOf } from '../../errors.ts';
import {
  exitCodes,
  helpOption,
  misunderstood,
  readWords,
  runCommand,
  type Output,
} from '../command-line.ts';
import {
  decryptObject,
  storedObjects,
  readEncryptedCapture,
  type EncryptedCapture,
  type StoredObject,
} from './decrypt-capture.ts';

export const usage = `heapcatch decrypt s3://BUCKET/index/KEY.json --to FOLDER

Decrypts what an encrypted capture stored, by its index entry, into an existing folder: evidence as text, the heap dump
as heap.hprof.zst, for "zstd -d". Verifies every frame, and their order. Never overwrites a file.

Needs the rights to read the bucket, and kms:Decrypt on the capture's encryption key. AWS_REGION, AWS_ENDPOINT_URL and
credentials come from the environment.

Exit codes: 0 all is decrypted and as whole as the index entry says, 1 something is not, 2 not understood or not possible.
`;

/** What the command touches of the outside. */
export interface DecryptIo extends Output {
  objectsOf(bucketName: string): ObjectStore;
  readonly dataKeys: Pick<DataKeys, 'decrypt'>;
}

/** `heapcatch decrypt`, on the process's own streams and the account of its environment. */
export function runDecryptCommand(words: readonly string[]): Promise<number> {
  const endpoint = process.env['AWS_ENDPOINT_URL'];
  const place = endpoint ? { endpoint } : {};
  return decrypt(words, {
    objectsOf: (bucketName) => createS3ObjectStore({ bucketName, ...place }),
    dataKeys: { decrypt: (encryption) => decryptDataKey(encryption, place) },
    write: (text) => void process.stdout.write(text),
    writeError: (text) => void process.stderr.write(text),
  });
}

/** Runs the command; what it cannot do is said on the error stream. */
export function decrypt(words: readonly string[], outside: DecryptIo): Promise<number> {
  return runCommand('decrypt', outside, async (io) => {
    const order = readOrder(words);
    if (order === 'help') {
      io.write(usage);
      return exitCodes.done;
    }
    const objects = io.objectsOf(order.bucketName);
    const capture = await readEncryptedCapture(objects, order.indexKey);
    const dataKey = await io.dataKeys.decrypt(capture.encryption);
    let holds = true;
    for (const stored of storedObjects(capture.entry)) {
      const line = await decryptTo(order.folder, { objects, capture, stored, dataKey });
      holds &&= line.holds;
      const text = `${stored.artifact}: ${line.text}\n`;
      if (line.holds) io.write(text);
      else io.writeError(text);
    }
    return holds ? exitCodes.done : exitCodes.amiss;
  });
}

interface Order {
  readonly bucketName: string;
  readonly indexKey: string;
  readonly folder: string;
}

function readOrder(words: readonly string[]): Order | 'help' {
  const { values, positionals } = readWords(words, { to: { type: 'string' }, ...helpOption });
  if (values.help) return 'help';
  const [, bucketName, indexKey] =
    /^s3:\/\/([a-z0-9.-]{3,63})\/(index\/[\w.-]+\.json)$/.exec(positionals[0] ?? '') ?? [];
  const folder = values.to;
  if (!bucketName || !indexKey || !folder || positionals.length > 1) {
    throw misunderstood('accepted is: s3://BUCKET/index/KEY.json --to FOLDER');
  }
  return { bucketName, indexKey, folder };
}

interface Work {
  readonly objects: ObjectStore;
  readonly capture: EncryptedCapture;
  readonly stored: StoredObject;
  readonly dataKey: Uint8Array;
}

/** A file that could not be decrypted to its end is removed: nobody shall take it for all that there was. */
async function decryptTo(
  folder: string,
  { objects, capture, stored, dataKey }: Work,
): Promise<{ holds: boolean; text: string }> {
  const name = /(?:^|\/)([^/]+)\.enc$/.exec(stored.objectKey)?.[1];
  if (name === undefined) return { holds: false, text: `${stored.objectKey} is not encrypted` };
  const path = join(folder, name);
  const file = await open(path, 'wx', 0o600);
  try {
    const write = (bytes: Uint8Array): Promise<void> => file.writeFile(bytes);
    const account = await decryptObject(objects, capture, stored, { dataKey, write });
    // Evidence is stored at once, or not at all.
    const strict = capture.entry.state === 'complete' || stored.artifact !== 'heapDump';
    return judge(path, account, strict);
  } catch (error) {
    await rm(path, { force: true });
    return { holds: false, text: messageOf(error, 1_000) };
  } finally {
    await file.close();
  }
}

function judge(
  path: string,
  { whole, frameCount, gapFrameCount, plainFrameCount }: SealedAccount,
  strict: boolean,
): { holds: boolean; text: string } {
  const counts = `${frameCount} encrypted frames, ${gapFrameCount} missing between them, ${plainFrameCount} plain`;
  if (whole) return { holds: true, text: `${path}: whole, ${counts}` };
  const why = strict
    ? 'NOT WHOLE though its index entry says so: something was taken away'
    : "not whole, as its index entry says: its end, or the agent's account of it, is missing";
  return { holds: !strict, text: `${path}: ${why}; ${counts}` };
}
