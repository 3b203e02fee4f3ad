import * as z from 'zod';

/** AES-256-GCM, one frame after the other (lib/capture/sealed-frames.ts). */
export const encryptionAlgorithm = 'AES-256-GCM';
/** Of the plain data key. */
export const dataKeyBytes = 32;

/**
 * How the objects of one capture are encrypted: whoever may use the KMS key gets the data key with it, and nobody else.
 * No secret.
 */
export const encryptionSchema = z.strictObject({
  algorithm: z.literal(encryptionAlgorithm),
  /** The KMS key that encrypts the data key. */
  keyArn: z.string().max(2_048),
  /** Base64, as `aws kms decrypt --ciphertext-blob` takes it. */
  encryptedDataKey: z.base64().max(8_192),
  /** KMS's encryption context: without the very same, the data key cannot be decrypted. */
  context: z.strictObject({
    captureId: z.string().max(40),
    fencingToken: z.string().regex(/^[1-9][0-9]{0,15}$/),
    bucketName: z.string().max(255),
  }),
});
export type Encryption = z.output<typeof encryptionSchema>;
