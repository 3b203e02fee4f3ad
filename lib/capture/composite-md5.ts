import { createHash } from 'node:crypto';

/**
 * Checksum of an object that is made of parts: MD5 of the parts' MD5s in order, and their number, `<32 hexadecimal
 * digits>-<count>`. It needs no bytes in order, so that parts can be sent at once. S3 gives it to such an object as its ETag,
 * unless the object is encrypted by SSE-KMS or SSE-C.
 * Source: Amazon S3 API, "Object", ETag; "Checking object integrity".
 */
export function compositeMd5(parts: readonly { readonly md5: string }[]): string {
  const hash = createHash('md5');
  for (const { md5 } of parts) hash.update(md5, 'hex');
  return `${hash.digest('hex')}-${parts.length}`;
}
