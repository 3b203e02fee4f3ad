import { DecryptCommand, GenerateDataKeyCommand, KMSClient } from '@aws-sdk/client-kms';
import type { DataKeys } from '../capture/ports.ts';
import { dataKeyBytes, encryptionAlgorithm, type Encryption } from '../dump-index/encryption.ts';
import { CaptureError } from '../errors.ts';
import { serviceFaultOf } from './service-fault.ts';
import { boundedCalls } from './bounded-calls.ts';

export interface KmsOptions {
  /** For stand-ins; the region is the key's own. */
  endpoint?: string;
  credentials?: { accessKeyId: string; secretAccessKey: string; sessionToken?: string };
}

/** KMS's own names of faults that mean: this key, this ciphertext or this context, now and later. */
const refusedCodes = new Set([
  'NotFoundException',
  'DisabledException',
  'KMSInvalidStateException',
  'InvalidKeyUsageException',
  'InvalidCiphertextException',
  'IncorrectKeyException',
  'InvalidArnException',
]);

/** Data keys of one KMS key, bound to capture, claim and bucket by KMS's encryption context. */
export function createKmsDataKeys(
  options: KmsOptions & { keyArn: string; bucketName: string },
): DataKeys {
  const { keyArn, bucketName, ...place } = options;
  const client = createKmsClient(keyArn, place);
  return {
    async generate({ captureId, fencingToken }) {
      const context = { captureId, fencingToken: String(fencingToken), bucketName };
      const command = new GenerateDataKeyCommand({
        KeyId: keyArn,
        KeySpec: 'AES_256',
        EncryptionContext: context,
      });
      const reply = await client.send(command).catch((error: unknown) => {
        throw kmsFault(error, keyArn, 'kms:GenerateDataKey');
      });
      const { Plaintext: plain, CiphertextBlob: encrypted } = reply;
      if (plain?.length !== dataKeyBytes || encrypted === undefined) {
        throw unavailable(`KMS key ${keyArn} gave no data key of ${dataKeyBytes} bytes`, true);
      }
      const encryptedDataKey = Buffer.from(encrypted).toString('base64');
      return {
        plain,
        encryption: { algorithm: encryptionAlgorithm, keyArn, encryptedDataKey, context },
      };
    },
    decrypt: (encryption) => decryptDataKey(encryption, place, client),
  };
}

/**
 * The plain data key of a capture, by the KMS key that its index entry names.
 * @throws CaptureError EncryptionUnavailable, retryable unless it was refused.
 */
export async function decryptDataKey(
  { keyArn, encryptedDataKey, context }: Encryption,
  place: KmsOptions = {},
  client: KMSClient = createKmsClient(keyArn, place),
): Promise<Uint8Array> {
  const command = new DecryptCommand({
    KeyId: keyArn,
    CiphertextBlob: Buffer.from(encryptedDataKey, 'base64'),
    EncryptionContext: context,
  });
  const reply = await client.send(command).catch((error: unknown) => {
    throw kmsFault(error, keyArn, 'kms:Decrypt');
  });
  if (reply.Plaintext?.length === dataKeyBytes) return reply.Plaintext;
  throw unavailable(`KMS key ${keyArn} gave no data key of ${dataKeyBytes} bytes`, false);
}

function createKmsClient(keyArn: string, place: KmsOptions): KMSClient {
  // arn:aws:kms:<region>:<account>:key/<id>: a key works in its own region only.
  const [, , , region] = keyArn.split(':');
  return new KMSClient({
    ...place,
    ...(region ? { region } : {}),
    ...boundedCalls({ connectionTimeout: 2_000, requestTimeout: 5_000, attemptCount: 3 }),
  });
}

function kmsFault(error: unknown, keyArn: string, action: string): CaptureError {
  const { code, denied, retryable } = serviceFaultOf(error);
  if (denied) return unavailable(`KMS key ${keyArn} is forbidden (${code}); needed is ${action}`);
  if (refusedCodes.has(code) || !retryable) {
    return unavailable(`KMS key ${keyArn} refused ${action}: ${code}`);
  }
  return unavailable(`KMS key ${keyArn} could not be asked for ${action}: ${code}`, true);
}

function unavailable(message: string, retryable = false): CaptureError {
  return new CaptureError('EncryptionUnavailable', message, { retryable });
}
