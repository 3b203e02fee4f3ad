import { describe, expect, it } from '@jest/globals';
import { SignatureV4 } from '@smithy/signature-v4';
import { createHash, createHmac, type BinaryLike } from 'node:crypto';
import { eksToken, presignCallerIdentity } from '../../lib/aws/eks-token.ts';

const now = new Date('2026-01-02T03:04:05.678Z');
const credentials = { accessKeyId: 'AKID', secretAccessKey: 'secret/+=' };

/** What the SDK's signer wants of a hash, with or without a key. */
class Sha256 {
  readonly #hash;
  constructor(secret?: BinaryLike) {
    this.#hash = secret === undefined ? createHash('sha256') : createHmac('sha256', secret);
  }
  update(data: BinaryLike): void {
    this.#hash.update(data);
  }
  digest(): Promise<Uint8Array> {
    return Promise.resolve(this.#hash.digest());
  }
}

/** The same request by the SDK's own signer. */
async function bySdk(sessionToken: string | undefined, region: string, domain: string) {
  const signer = new SignatureV4({
    credentials: { ...credentials, ...(sessionToken && { sessionToken }) },
    ...{ region, service: 'sts', sha256: Sha256 as never },
  });
  const hostname = `sts.${region}.${domain}`;
  const request = {
    ...{ method: 'GET', protocol: 'https:', hostname, path: '/' },
    query: { Action: 'GetCallerIdentity', Version: '2011-06-15' },
    headers: { host: hostname, 'x-k8s-aws-id': 'shop_1' },
  };
  const signed = await signer.presign(request, {
    ...{ signingDate: now, expiresIn: 60 },
    unhoistableHeaders: new Set(['x-k8s-aws-id']),
  });
  return signed.query as Record<string, string>;
}

describe('the token for an EKS cluster', () => {
  it.each([
    ['eu-central-1', undefined, 'amazonaws.com'],
    ['eu-central-1', 'IQoJ/+b3JpZ2lu (long)*==', 'amazonaws.com'],
    ['cn-north-1', undefined, 'amazonaws.com.cn'],
  ])(
    'is in %s, with session token %s, signed like the SDK does',
    async (region, session, domain) => {
      const token = eksToken(
        { ...credentials, sessionToken: session },
        { region, now, eksClusterName: 'shop_1' },
      );

      const [prefix, encoded = ''] = token.split('k8s-aws-v1.');
      const url = new URL(Buffer.from(encoded, 'base64url').toString());
      expect([prefix, encoded]).toEqual(['', expect.stringMatching(/^[\w-]+$/)]);
      expect([url.protocol, url.host]).toEqual(['https:', `sts.${region}.${domain}`]);
      expect(Object.fromEntries(url.searchParams)).toEqual(await bySdk(session, region, domain));
    },
  );

  it('signs who asks, at an endpoint that is given', () => {
    const url = new URL(
      presignCallerIdentity(credentials, {
        ...{ region: 'eu-1', now },
        endpoint: 'http://127.0.0.1:4566',
      }),
    );

    expect(url.origin).toBe('http://127.0.0.1:4566');
    expect(url.searchParams.get('X-Amz-SignedHeaders')).toBe('host');
  });
});
