import { afterEach, describe, expect, it } from '@jest/globals';
import { createKmsDataKeys } from '../../lib/aws/kms-data-keys.ts';
import { startJsonService, type JsonService, type ServiceReply } from './json-service.ts';

const keyArn = 'arn:aws:kms:eu-central-1:123456789012:key/abc';
const plain = Buffer.alloc(32, 7);
const capture = { captureId: 'abcdefghijklmnop', fencingToken: 3 };
const context = { captureId: 'abcdefghijklmnop', fencingToken: '3', bucketName: 'dumps' };
const given = (bytes: Buffer): ServiceReply => ({
  body: { Plaintext: bytes.toString('base64'), CiphertextBlob: 'c2VhbGVk', KeyId: keyArn },
});
const fault = (type: string, status = 400): ServiceReply => ({ status, body: { __type: type } });

describe('KMS data keys', () => {
  let service: JsonService | undefined;
  afterEach(() => service?.close());
  const keysThatAnswer = async (...replies: ServiceReply[]) => {
    service = await startJsonService(...replies);
    const { endpoint, credentials } = service.place;
    return createKmsDataKeys({ keyArn, bucketName: 'dumps', endpoint, credentials });
  };

  it('are made for one claim, and decrypted for it alone', async () => {
    const keys = await keysThatAnswer(given(plain));

    const key = await keys.generate(capture);
    const decrypted = await keys.decrypt(key.encryption);

    expect(Buffer.from(key.plain).equals(plain)).toBe(true);
    expect(Buffer.from(decrypted).equals(plain)).toBe(true);
    const algorithm = 'AES-256-GCM';
    expect(key.encryption).toEqual({ algorithm, keyArn, encryptedDataKey: 'c2VhbGVk', context });
    expect(service?.requests).toEqual([
      {
        target: 'TrentService.GenerateDataKey',
        body: { KeyId: keyArn, KeySpec: 'AES_256', EncryptionContext: context },
      },
      {
        target: 'TrentService.Decrypt',
        body: { KeyId: keyArn, CiphertextBlob: 'c2VhbGVk', EncryptionContext: context },
      },
    ]);
  });

  it.each([
    ['AccessDeniedException', 400, false, 'is forbidden (AccessDeniedException); needed is'],
    ['NotFoundException', 400, false, 'refused kms:GenerateDataKey: NotFoundException'],
    ['DisabledException', 400, false, 'refused kms:GenerateDataKey: DisabledException'],
    ['KMSInternalException', 500, true, 'could not be asked for kms:GenerateDataKey'],
    ['KMSInvalidStateException', 400, false, 'refused kms:GenerateDataKey'],
  ])('are not there after %s', async (type, status, retryable, words) => {
    const keys = await keysThatAnswer(fault(type, status));

    await expect(keys.generate(capture)).rejects.toMatchObject({
      ...{ code: 'EncryptionUnavailable', retryable },
      message: expect.stringContaining(words),
    });
  });

  it('of another length are none', async () => {
    const keys = await keysThatAnswer(given(Buffer.alloc(16)));

    await expect(keys.generate(capture)).rejects.toMatchObject({ code: 'EncryptionUnavailable' });
  });
});
