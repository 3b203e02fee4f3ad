import {
  parseClusterSecret,
  validateClusterAccess,
  type ClusterAccess,
  type ClusterCredentials,
  type CredentialsSource,
  type RegisteredCluster,
} from '../../cluster-access.ts';
import type { ClusterRegistrations } from '../../aws/cluster-registrations.ts';
import type { EksCluster } from '../../aws/eks-clusters.ts';
import type { KubeContext } from '../../kubernetes/kube-context.ts';
import type { ReviewedUser } from '../../kubernetes/self-review.ts';
import { CaptureError } from '../../errors.ts';
import { factsOfCredentials } from './credential-facts.ts';
import { explainFault } from './explain-fault.ts';
import type { AddOrder } from './words.ts';

/** What registering a cluster touches of the outside. */
export interface AddIo {
  /** `-` is stdin. */
  readFile(file: string): Promise<string>;
  kubeContext(contextName?: string): KubeContext;
  describeEks(eksClusterName: string, region: string): Promise<EksCluster>;
  /** Of the stack. */
  region(): Promise<string>;
  registrations: ClusterRegistrations;
  secretNameOf(clusterName: string): string;
  /** For an identity by IAM: as the caller's own. */
  credentialsOf(access: ClusterAccess): CredentialsSource;
  reviewSelf(cluster: RegisteredCluster): Promise<ReviewedUser | 'refused' | 'unknown'>;
  now(): Date;
}

export interface Added {
  readonly access: ClusterAccess;
  /** Who the API says the functions are; absent where it did not say, was not asked, or knows them by IAM alone. */
  readonly user?: ReviewedUser;
  /** What held, and what should be looked at; sentences. */
  readonly notes: readonly string[];
  readonly warnings: readonly string[];
}

/** The account that infra/kubernetes makes, and the group that its roles are bound to as well. */
const functionsAccount = /^system:serviceaccount:[^:]+:heapcatch-functions$/;
export const functionsGroup = 'heapcatch-cloud-functions';
const shortMillis = 30 * 86_400_000;

/**
 * Registers a cluster: what is known of it, a look whether its API answers and takes the identity, then the writing.
 * @throws CaptureError InvalidConfiguration; ClusterUnavailable: the API does not answer; ClusterForbidden: it does not take the
 *   credentials. Nothing has been written then.
 */
export async function addCluster(io: AddIo, order: AddOrder): Promise<Added> {
  const region = await io.region();
  const credentials = await readCredentials(io, order);
  const warnings: string[] = [];
  const access = await accessOf(io, order, { credentials, region, warnings });
  const checked = order.skipCheck
    ? { notes: ['not checked: whether the API answers is seen with the first capture'] }
    : await check(io, access, credentials, warnings);
  await io.registrations.write(order.clusterName, access, credentials);
  return { access, ...checked, warnings };
}

async function readCredentials(
  io: AddIo,
  { identity }: AddOrder,
): Promise<ClusterCredentials | undefined> {
  if (identity.kind === 'eks') return undefined;
  if (identity.kind === 'token') {
    const token = (await io.readFile(identity.file)).trim();
    return parseClusterSecret(JSON.stringify({ token }), `in ${identity.file}`);
  }
  const { certificateFile, keyFile } = identity;
  const [clientCertificate, clientKey] = await Promise.all(
    [certificateFile, keyFile].map((file) => io.readFile(file)),
  );
  const text = JSON.stringify({ clientCertificate, clientKey });
  return parseClusterSecret(text, `in ${certificateFile} and ${keyFile}`);
}

async function accessOf(
  io: AddIo,
  order: AddOrder,
  known: { credentials: ClusterCredentials | undefined; region: string; warnings: string[] },
): Promise<ClusterAccess> {
  const { clusterName, identity, tlsServerName } = order;
  const where = await whereOf(io, order, known);
  const registeredTime = io.now().toISOString();
  const facts = known.credentials === undefined ? {} : factsOfCredentials(known.credentials);
  if (facts.expireTime !== undefined) checkEnd(facts.expireTime, io.now(), known.warnings);
  const named = tlsServerName ?? where.tlsServerName;
  return validateClusterAccess(
    {
      schemaVersion: 1,
      server: where.server,
      certificateAuthority: where.certificateAuthority.trim(),
      ...(named === undefined ? {} : { tlsServerName: named }),
      identity:
        identity.kind === 'eks'
          ? {
              kind: 'eks',
              eksClusterName: identity.eksClusterName,
              region: identity.region ?? known.region,
            }
          : { kind: 'secret', secretName: io.secretNameOf(clusterName), ...facts },
      registeredTime,
    },
    `cluster ${clusterName}`,
  );
}

interface Where {
  server: string;
  certificateAuthority: string;
  tlsServerName?: string | undefined;
}

async function whereOf(
  io: AddIo,
  order: AddOrder,
  { region, warnings }: { region: string; warnings: string[] },
): Promise<Where> {
  const { identity, server, authorityFile, contextName } = order;
  if (server !== undefined && authorityFile !== undefined) {
    return { server, certificateAuthority: await io.readFile(authorityFile) };
  }
  if (identity.kind === 'eks' && contextName === undefined) {
    const eks = await io.describeEks(identity.eksClusterName, identity.region ?? region);
    if (eks.authenticationMode === 'CONFIG_MAP') {
      warnings.push(
        'the cluster knows no access entries (authentication mode CONFIG_MAP): change it to API_AND_CONFIG_MAP',
      );
    }
    if (!eks.publicEndpoint) {
      warnings.push('the endpoint is private: the functions must run in its VPC (docs/install.md)');
    }
    return eks;
  }
  return whereOfContext(io.kubeContext(contextName));
}

function whereOfContext(context: KubeContext): Where {
  const { contextName, server, certificateAuthority, tlsServerName, skipsVerification } = context;
  if (skipsVerification) {
    throw new CaptureError(
      'InvalidConfiguration',
      `context ${contextName} does not verify its server (insecure-skip-tls-verify): give --server and --certificate-authority`,
    );
  }
  if (certificateAuthority === undefined) {
    throw new CaptureError(
      'InvalidConfiguration',
      `context ${contextName} names no certificate authority: give --server and --certificate-authority`,
    );
  }
  return { server, certificateAuthority, tlsServerName };
}

function checkEnd(expireTime: string, now: Date, warnings: string[]): void {
  const leftMillis = new Date(expireTime).getTime() - now.getTime();
  if (leftMillis <= 0) {
    throw new CaptureError('InvalidConfiguration', `the credentials ended at ${expireTime}`);
  }
  if (leftMillis < shortMillis) {
    const days = Math.floor(leftMillis / 86_400_000);
    warnings.push(
      `the credentials end at ${expireTime}, in ${days === 0 ? 'less than a day' : `${days} days`}: register the cluster again before that`,
    );
  }
}

async function check(
  io: AddIo,
  access: ClusterAccess,
  given: ClusterCredentials | undefined,
  warnings: string[],
): Promise<{ user?: ReviewedUser; notes: string[] }> {
  const credentials: CredentialsSource =
    given === undefined ? io.credentialsOf(access) : () => Promise.resolve(given);
  let reviewed: Awaited<ReturnType<AddIo['reviewSelf']>>;
  try {
    reviewed = await io.reviewSelf({ access, credentials });
  } catch (error) {
    if (!(error instanceof CaptureError) || error.code !== 'ClusterUnavailable') throw error;
    const message = `the API at ${access.server} does not answer: ${explainFault(error)}`;
    throw new CaptureError('ClusterUnavailable', message, { cause: error });
  }
  const answers = `the API at ${access.server} answers`;
  if (given === undefined) {
    // It was asked in the caller's own name: the functions' roles are known to nobody but the functions.
    return {
      notes: [`${answers}; whether it takes the functions' roles, "heapcatch doctor" says`],
    };
  }
  if (reviewed === 'refused') {
    throw new CaptureError(
      'ClusterForbidden',
      `${answers}, but does not take these credentials (HTTP 401): are they of this cluster, and not over?`,
    );
  }
  if (reviewed === 'unknown') return { notes: [answers] };
  warnings.push(...rightsWarnings(reviewed));
  return {
    user: reviewed,
    notes: [`${answers}, and knows these credentials as ${reviewed.userName}`],
  };
}

function rightsWarnings({ userName, groups }: ReviewedUser): string[] {
  if (groups.includes('system:masters')) {
    return [`${userName} may do everything in the cluster: give heapcatch an identity of its own`];
  }
  if (functionsAccount.test(userName) || groups.includes(functionsGroup)) return [];
  return [
    `heapcatch's roles are not bound to ${userName}: use the service account heapcatch-functions, or the group ${functionsGroup}`,
  ];
}
