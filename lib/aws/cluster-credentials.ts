import { SSMClient } from '@aws-sdk/client-ssm';
import {
  parseClusterSecret,
  type ClusterAccess,
  type ClusterCredentials,
  type CredentialsSource,
} from '../cluster-access.ts';
import { CaptureError, messageOf } from '../errors.ts';
import { boundedCalls } from './bounded-calls.ts';
import { eksToken, type SigningCredentials } from './eks-token.ts';
import { serviceFaultOf } from './service-fault.ts';

export interface AwsPlace {
  region?: string;
  endpoint?: string;
  credentials?: { accessKeyId: string; secretAccessKey: string; sessionToken?: string };
}

/** An EKS token is good for 15 minutes from its making; a secret may be replaced at any time. */
const keptMillis = { eks: 10 * 60_000, secret: 5 * 60_000 };

/**
 * Who the caller is in a registered cluster: by IAM with a token that is made anew every 10 minutes, or by a secret that is read
 * anew every 5. Neither asks anybody before it is first called. No message of it holds any part of a credential.
 */
export function createCredentialsSource(
  access: ClusterAccess,
  options: AwsPlace & { now?: () => number } = {},
): CredentialsSource {
  const { now = Date.now, ...place } = options;
  const { identity } = access;
  const make =
    identity.kind === 'eks'
      ? eksCredentials(identity, place, now)
      : secretCredentials(identity, place);
  let kept: { credentials: Promise<ClusterCredentials>; untilMillis: number } | undefined;
  return async ({ fresh = false } = {}) => {
    if (fresh || kept === undefined || now() >= kept.untilMillis) {
      kept = { credentials: make(), untilMillis: now() + keptMillis[identity.kind] };
    }
    const current = kept;
    try {
      return await current.credentials;
    } catch (error) {
      // A fault is not kept: the next call asks again.
      if (kept === current) kept = undefined;
      throw error;
    }
  };
}

type Identity<K> = Extract<ClusterAccess['identity'], { kind: K }>;

/** The credentials of the SDK's own chain: what any of its clients would sign with. */
export function signingCredentialsOf(place: AwsPlace): () => Promise<SigningCredentials> {
  const { credentials } = new SSMClient(place).config;
  return () => credentials();
}

/** The region of the SDK's own chain. @throws CaptureError InvalidConfiguration when there is none. */
export async function regionOf(place: AwsPlace): Promise<string> {
  try {
    return await new SSMClient(place).config.region();
  } catch {
    const message = 'no AWS region: give --region, or set AWS_REGION or one in the profile';
    throw new CaptureError('InvalidConfiguration', message);
  }
}

function eksCredentials(
  { eksClusterName, region }: Identity<'eks'>,
  place: AwsPlace,
  now: () => number,
): () => Promise<ClusterCredentials> {
  const signing = signingCredentialsOf({ ...place, region });
  return async () => {
    try {
      const credentials = await signing();
      return { token: eksToken(credentials, { region, eksClusterName, now: new Date(now()) }) };
    } catch (error) {
      throw new CaptureError(
        'ClusterUnavailable',
        `there are no AWS credentials to sign a token for EKS cluster ${eksClusterName} with: ${messageOf(error, 200)}`,
        { retryable: true },
      );
    }
  };
}

/** The client of Secrets Manager loads with the first secret: a cluster of EKS needs none. */
function secretCredentials(
  { secretName }: Identity<'secret'>,
  place: AwsPlace,
): () => Promise<ClusterCredentials> {
  return async () => {
    const { GetSecretValueCommand, SecretsManagerClient } =
      await import('@aws-sdk/client-secrets-manager');
    const client = new SecretsManagerClient({
      ...place,
      ...boundedCalls({ connectionTimeout: 2_000, requestTimeout: 5_000, attemptCount: 3 }),
    });
    let text: string | undefined;
    try {
      const reply = await client.send(new GetSecretValueCommand({ SecretId: secretName }));
      text = reply.SecretString;
    } catch (error) {
      throw secretFault(error, secretName, 'secretsmanager:GetSecretValue and kms:Decrypt');
    } finally {
      client.destroy();
    }
    return parseClusterSecret(text ?? '', secretName);
  };
}

/** Neither the service's message nor the error itself is passed on: it may quote what was sent. */
export function secretFault(error: unknown, secretName: string, actions: string): CaptureError {
  const { code, denied, retryable } = serviceFaultOf(error);
  const what = `secret ${secretName}`;
  if (retryable) {
    const message = `${what} could not be asked for: ${code}`;
    return new CaptureError('ClusterUnavailable', message, { retryable });
  }
  if (code === 'ResourceNotFoundException') {
    return new CaptureError(
      'InvalidConfiguration',
      `${what} does not exist; "heapcatch cluster add" writes it`,
    );
  }
  const why = denied ? `is forbidden (${code}); needed are ${actions}` : `was refused: ${code}`;
  return new CaptureError('InvalidConfiguration', `${what} ${why}`);
}
