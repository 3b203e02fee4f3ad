import { randomBytes } from 'node:crypto';
import type { DataKeys } from '../capture/ports.ts';
import { dataKeyBytes, encryptionAlgorithm, type Encryption } from '../dump-index/encryption.ts';
import { CaptureError } from '../errors.ts';

const keyArn = 'arn:aws:kms:us-east-1:000000000000:key/in-memory';

/** A key service of this process alone, as strict about the encryption context as KMS; for tests. */
export function createMemoryDataKeys(bucketName = 'dumps'): DataKeys {
  const kept = new Map<string, { plain: Uint8Array; context: string }>();
  return {
    generate: ({ captureId, fencingToken }) => {
      const plain = randomBytes(dataKeyBytes);
      // Says nothing of the key: it is looked up.
      const encryptedDataKey = randomBytes(64).toString('base64');
      const context = { captureId, fencingToken: String(fencingToken), bucketName };
      kept.set(encryptedDataKey, { plain, context: contextOf({ context }) });
      const encryption: Encryption = {
        algorithm: encryptionAlgorithm,
        ...{ keyArn, encryptedDataKey, context },
      };
      return Promise.resolve({ plain, encryption });
    },
    decrypt: (encryption) => {
      const key = kept.get(encryption.encryptedDataKey);
      if (key?.context === contextOf(encryption)) return Promise.resolve(key.plain);
      const message = `KMS key ${encryption.keyArn} refused kms:Decrypt: InvalidCiphertextException`;
      return Promise.reject(new CaptureError('EncryptionUnavailable', message));
    },
  };
}

function contextOf({ context }: Pick<Encryption, 'context'>): string {
  return JSON.stringify([context.captureId, context.fencingToken, context.bucketName]);
}
