import {
  DeleteParameterCommand,
  GetParametersByPathCommand,
  SSMClient,
  type Parameter,
} from '@aws-sdk/client-ssm';
import type { ClusterAccess, ClusterCredentials } from '../cluster-access.ts';
import { CaptureError } from '../errors.ts';
import { boundedCalls } from './bounded-calls.ts';
import { secretFault, type AwsPlace } from './cluster-credentials.ts';
import { clusterParameter, registryFault, writeParameter } from './cluster-registry.ts';

/** A registered cluster as its parameter says. */
export interface Registration {
  readonly clusterName: string;
  /** For parseRegistration; a secret where it is a kubeconfig. */
  readonly text: string;
  readonly modifiedTime: string | undefined;
}

/** What an administrator does with the clusters of one stage; the functions only read (createClusterRegistry). */
export interface ClusterRegistrations {
  /** All, by name. @throws CaptureError InvalidConfiguration, ClusterUnavailable (retryable). */
  list(): Promise<Registration[]>;
  /** The secret first, if there is one, then the parameter that names it: a reader never finds a name without a secret. */
  write(
    clusterName: string,
    access: ClusterAccess,
    credentials?: ClusterCredentials,
  ): Promise<void>;
  /**
   * Removes the parameter, then the secret of that name, which Secrets Manager keeps for 7 days.
   * @returns whether there was a parameter.
   */
  remove(clusterName: string): Promise<boolean>;
}

const maxPageCount = 50;
const bounds = boundedCalls({ connectionTimeout: 2_000, requestTimeout: 5_000, attemptCount: 3 });
const secretActions =
  'secretsmanager:CreateSecret, PutSecretValue, DeleteSecret and kms:GenerateDataKey';

/** `heapcatch/prod/clusters/eu-1`, beside the parameter `/heapcatch/prod/clusters/eu-1`: what the functions may read. */
export function clusterSecretName(parameterPrefix: string, clusterName: string): string {
  return clusterParameter(parameterPrefix, clusterName).slice(1);
}

/** No message, error or log of it holds any part of a credential. */
export function createClusterRegistrations(
  options: AwsPlace & { parameterPrefix: string },
): ClusterRegistrations {
  const { parameterPrefix, ...place } = options;
  const client = new SSMClient({ ...place, ...bounds });
  return {
    list: () => listParameters(client, parameterPrefix),
    async write(clusterName, access, credentials) {
      const name = clusterParameter(parameterPrefix, clusterName);
      if (credentials !== undefined) {
        await putSecret(place, clusterSecretName(parameterPrefix, clusterName), credentials);
      }
      await writeParameter(client, name, JSON.stringify(access));
    },
    async remove(clusterName) {
      const name = clusterParameter(parameterPrefix, clusterName);
      const existed = await deleteParameter(client, name);
      await deleteSecret(place, clusterSecretName(parameterPrefix, clusterName));
      return existed;
    },
  };
}

async function listParameters(client: SSMClient, prefix: string): Promise<Registration[]> {
  const found: Registration[] = [];
  let next: string | undefined;
  for (let page = 0; page < maxPageCount; page++) {
    const command = new GetParametersByPathCommand({
      Path: prefix,
      WithDecryption: true,
      ...(next === undefined ? {} : { NextToken: next }),
    });
    try {
      const reply = await client.send(command);
      found.push(...(reply.Parameters ?? []).map((one) => registrationOf(one, prefix)));
      next = reply.NextToken;
    } catch (error) {
      throw registryFault(
        error,
        `parameters ${prefix}/*`,
        'ssm:GetParametersByPath and kms:Decrypt',
      );
    }
    if (!next) break;
  }
  return found.sort((one, other) => (one.clusterName < other.clusterName ? -1 : 1));
}

function registrationOf(parameter: Parameter, prefix: string): Registration {
  return {
    clusterName: (parameter.Name ?? '').slice(prefix.length + 1),
    text: parameter.Value ?? '',
    modifiedTime: parameter.LastModifiedDate?.toISOString(),
  };
}

async function deleteParameter(client: SSMClient, name: string): Promise<boolean> {
  try {
    await client.send(new DeleteParameterCommand({ Name: name }));
    return true;
  } catch (error) {
    if (error instanceof Error && error.name === 'ParameterNotFound') return false;
    throw registryFault(error, `parameter ${name}`, 'ssm:DeleteParameter');
  }
}

async function secretsManager(place: AwsPlace) {
  const sdk = await import('@aws-sdk/client-secrets-manager');
  return { sdk, client: new sdk.SecretsManagerClient({ ...place, ...bounds }) };
}

async function putSecret(
  place: AwsPlace,
  name: string,
  credentials: ClusterCredentials,
): Promise<void> {
  const { sdk, client } = await secretsManager(place);
  const value = { SecretString: JSON.stringify(credentials) };
  try {
    const Description = 'How heapcatch proves who it is to the API of this cluster';
    await client.send(new sdk.CreateSecretCommand({ Name: name, Description, ...value }));
    return;
  } catch (error) {
    const code = error instanceof Error ? error.name : '';
    // InvalidRequestException: it is scheduled for deletion, by a removal within the last 7 days.
    if (code === 'InvalidRequestException') {
      await asSecret(name, () => client.send(new sdk.RestoreSecretCommand({ SecretId: name })));
    } else if (code !== 'ResourceExistsException') {
      throw secretFault(error, name, secretActions);
    }
  }
  await asSecret(name, () =>
    client.send(new sdk.PutSecretValueCommand({ SecretId: name, ...value })),
  );
}

async function deleteSecret(place: AwsPlace, name: string): Promise<void> {
  const { sdk, client } = await secretsManager(place);
  try {
    const command = new sdk.DeleteSecretCommand({ SecretId: name, RecoveryWindowInDays: 7 });
    await client.send(command);
  } catch (error) {
    if (error instanceof Error && error.name === 'ResourceNotFoundException') return;
    throw secretFault(error, name, secretActions);
  }
}

async function asSecret(name: string, call: () => Promise<unknown>): Promise<void> {
  try {
    await call();
  } catch (error) {
    throw error instanceof CaptureError ? error : secretFault(error, name, secretActions);
  }
}
