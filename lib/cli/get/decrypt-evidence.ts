import { open, readFile, rename, rm } from 'node:fs/promises';
import type { SealedAccount } from '../../capture/sealed-reader.ts';
import {
  decryptObject,
  type EncryptedCapture,
  type StoredObject,
} from '../decrypt/decrypt-capture.ts';

/**
 * Decrypts a piece of evidence that was brought into a file, into another.
 * @throws CaptureError DecryptionFailed: nothing is left of it.
 */
export async function decryptEvidence({
  capture,
  dataKey,
  stored,
  storedPath,
  path,
}: {
  readonly capture: EncryptedCapture;
  readonly dataKey: Uint8Array;
  readonly stored: StoredObject;
  readonly storedPath: string;
  readonly path: string;
}): Promise<SealedAccount> {
  const bytes = await readFile(storedPath);
  const partial = `${path}.part`;
  const file = await open(partial, 'w', 0o600);
  try {
    const write = (opened: Uint8Array): Promise<void> => file.writeFile(opened);
    const objects = {
      getObject: (_key: string, { range }: { range?: { start: number; end: number } }) =>
        Promise.resolve(range && bytes.subarray(range.start, range.end + 1)),
    };
    const account = await decryptObject(objects, capture, stored, { dataKey, write });
    await rename(partial, path);
    return account;
  } finally {
    await file.close();
    await rm(partial, { force: true });
  }
}
