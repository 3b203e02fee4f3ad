import { deriveSigningKey, signRequest } from './signature-v4.ts';

/**
 * The URLs of parts 1..partCount, from the one that the SDK presigned for part 1: they differ in the part number and in the
 * signature alone. The SDK resolves endpoint, region and headers again for each URL, which takes some 14 times as
 * long (docs/decisions/aws-adapters.md).
 * @returns `undefined` when signing part 1 again gives another signature than the SDK's: other headers are signed
 *   than host, or the credentials have changed in between. The caller then has the SDK sign each.
 */
export function presignPartsLike(
  firstUrl: string,
  secretAccessKey: string,
  partCount: number,
): readonly string[] | undefined {
  const [base, search] = firstUrl.split('?', 2);
  if (base === undefined || search === undefined) return undefined;
  const { host, pathname } = new URL(firstUrl);
  const parameters = new Map(
    search.split('&').map((pair) => pair.split('=', 2) as [string, string | undefined]),
  );
  const signature = parameters.get('X-Amz-Signature');
  const longDate = parameters.get('X-Amz-Date') ?? '';
  const credential = decodeURIComponent(parameters.get('X-Amz-Credential') ?? '');
  const [, date = '', region = '', service = ''] = credential.split('/');
  parameters.delete('X-Amz-Signature');
  const names = [...parameters.keys()].sort();
  const position = names.indexOf('partNumber');
  if (position < 0) return undefined;
  const pairs = names.map((name) => `${name}=${parameters.get(name) ?? ''}`);
  const before = pairs.slice(0, position).map((pair) => `${pair}&`);
  const after = pairs.slice(position + 1).map((pair) => `&${pair}`);
  const [head, tail] = [before.join(''), after.join('')];
  const scope = { date, region, service };
  const signingKey = deriveSigningKey(secretAccessKey, scope);
  const headers = [['host', host]] as const;

  const presign = (partNumber: number): { url: string; signature: string } => {
    const query = `${head}partNumber=${partNumber}${tail}`;
    const request = { method: 'PUT', path: pathname, query, headers, payloadHash };
    const signed = signRequest(request, longDate, scope, signingKey);
    return { url: `${base}?${query}&X-Amz-Signature=${signed}`, signature: signed };
  };
  if (presign(1).signature !== signature) return undefined;
  return Array.from({ length: partCount }, (_, index) => presign(index + 1).url);
}

const payloadHash = 'UNSIGNED-PAYLOAD';
