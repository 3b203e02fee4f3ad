import { createHash } from 'node:crypto';
import { deriveSigningKey, signRequest } from './signature-v4.ts';

export interface SigningCredentials {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly sessionToken?: string | undefined;
}

/** What the API server's authenticator takes; it judges by X-Amz-Date, and takes a token for 15 minutes from then. */
const expiresSeconds = 60;
const emptyHash = createHash('sha256').digest('hex');

/**
 * A presigned `sts:GetCallerIdentity`: whoever sends it learns whose credentials signed it, and nothing else. It takes no IAM
 * permission. With `eksClusterName` it is good for that cluster only, by the signed header `x-k8s-aws-id`.
 * @param endpoint of STS, if it is not the region's own.
 */
export function presignCallerIdentity(
  credentials: SigningCredentials,
  options: { region: string; now: Date; eksClusterName?: string; endpoint?: string },
): string {
  const { region, now, eksClusterName, endpoint } = options;
  const base = new URL(endpoint ?? `https://sts.${region}.${domainOf(region)}/`);
  const longDate = now.toISOString().replace(/[-:]|\.\d{3}/g, '');
  const scope = { date: longDate.slice(0, 8), region, service: 'sts' };
  const { accessKeyId, secretAccessKey, sessionToken } = credentials;
  const headers = [
    ['host', base.host],
    ...(eksClusterName === undefined ? [] : [['x-k8s-aws-id', eksClusterName] as const]),
  ] as (readonly [string, string])[];
  const parameters: [string, string][] = [
    ['Action', 'GetCallerIdentity'],
    ['Version', '2011-06-15'],
    ['X-Amz-Algorithm', 'AWS4-HMAC-SHA256'],
    ['X-Amz-Credential', `${accessKeyId}/${scope.date}/${region}/sts/aws4_request`],
    ['X-Amz-Date', longDate],
    ['X-Amz-Expires', String(expiresSeconds)],
    ...(sessionToken === undefined
      ? []
      : [['X-Amz-Security-Token', sessionToken] as [string, string]]),
    ['X-Amz-SignedHeaders', headers.map(([name]) => name).join(';')],
  ];
  const query = parameters.map(([name, value]) => `${name}=${encode(value)}`).join('&');
  const signature = signRequest(
    { method: 'GET', path: '/', query, headers, payloadHash: emptyHash },
    longDate,
    scope,
    deriveSigningKey(secretAccessKey, scope),
  );
  return `${base.origin}/?${query}&X-Amz-Signature=${signature}`;
}

/**
 * The bearer token by which an EKS cluster knows an IAM identity that has an access entry there; good for 15 minutes.
 * Form: https://github.com/kubernetes-sigs/aws-iam-authenticator#api-authorization-from-outside-a-cluster
 */
export function eksToken(
  credentials: SigningCredentials,
  options: { region: string; now: Date; eksClusterName: string },
): string {
  const url = presignCallerIdentity(credentials, options);
  return `k8s-aws-v1.${Buffer.from(url).toString('base64url')}`;
}

function domainOf(region: string): string {
  return region.startsWith('cn-') ? 'amazonaws.com.cn' : 'amazonaws.com';
}

/** RFC 3986, which encodes more than encodeURIComponent does. */
function encode(text: string): string {
  return encodeURIComponent(text).replace(
    /[!'()*]/g,
    (character) => `%${character.charCodeAt(0).toString(16).toUpperCase()}`,
  );
}
