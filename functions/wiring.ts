import { randomUUID } from 'node:crypto';
import { createCredentialsSource } from '../lib/aws/cluster-credentials.ts';
import { createClusterRegistry } from '../lib/aws/cluster-registry.ts';
import { createDynamoDbClaimStore } from '../lib/aws/dynamodb-claim-store.ts';
import { createDynamoDbClient } from '../lib/aws/dynamodb-client.ts';
import { listClusters } from '../lib/aws/list-clusters.ts';
import { createS3ObjectStore } from '../lib/aws/s3-object-store.ts';
import { parseRegistration, type RegisteredCluster } from '../lib/cluster-access.ts';
import type { ClaimStore } from '../lib/claim/claim-store.ts';
import type { FinishDeps } from '../lib/capture/conclude-capture.ts';
import type { ClusterApi, Clock, DataKeys, ObjectStore } from '../lib/capture/ports.ts';
import { createClusterApi } from '../lib/kubernetes/cluster-api.ts';
import { createLogger, type Logger } from '../lib/log.ts';
import { readFunctionConfig, type FunctionConfig } from './config.ts';

/** What Lambda tells a handler, as far as it is used. */
export interface FunctionContext {
  getRemainingTimeInMillis(): number;
  awsRequestId: string;
}

/** Everything that outlives one invocation. */
export interface Wiring {
  config: FunctionConfig;
  claims: ClaimStore;
  objects: ObjectStore;
  clusterOf: (clusterName: string) => Promise<ClusterApi>;
  listClusters: () => Promise<readonly string[]>;
  /** Absent where the stack has no key for encryption. */
  dataKeys?: DataKeys;
  clock: Clock;
  logger: Logger;
}

/**
 * Reads the environment and makes the adapters on the first call, so that a configuration fault is an answer of
 * the invocation with all its causes, and not a function that cannot load.
 */
export function lazyWiring(component: string): () => Wiring {
  let wiring: Wiring | undefined;
  return () => (wiring ??= createWiring(component, readFunctionConfig(process.env)));
}

function createWiring(component: string, config: FunctionConfig): Wiring {
  const logger = createLogger(component);
  const endpoint = config.awsEndpoint === undefined ? {} : { endpoint: config.awsEndpoint };
  return {
    config,
    claims: createDynamoDbClaimStore({
      client: createDynamoDbClient(endpoint),
      tableName: config.tableName,
    }),
    objects: createS3ObjectStore({
      bucketName: config.bucketName,
      ...endpoint,
      ...(config.publicS3Endpoint === undefined ? {} : { publicEndpoint: config.publicS3Endpoint }),
    }),
    clusterOf: clusterCache(config, endpoint, logger),
    listClusters: () =>
      listClusters({ parameterPrefix: config.clusterParameterPrefix, ...endpoint }),
    ...dataKeysOf(config, endpoint),
    clock: () => new Date(),
    logger,
  };
}

/** The client of KMS loads when the first pod asks for encryption: most never do. */
function dataKeysOf(
  { encryptionKeyArn: keyArn, bucketName }: FunctionConfig,
  endpoint: { endpoint?: string },
): { dataKeys?: DataKeys } {
  if (keyArn === undefined) return {};
  let made: Promise<DataKeys> | undefined;
  const make = async (): Promise<DataKeys> => {
    const { createKmsDataKeys } = await import('../lib/aws/kms-data-keys.ts');
    return createKmsDataKeys({ keyArn, bucketName, ...endpoint });
  };
  return {
    dataKeys: {
      generate: async (capture) => (await (made ??= make())).generate(capture),
      decrypt: async (encryption) => (await (made ??= make())).decrypt(encryption),
    },
  };
}

const maxCachedClusterCount = 100;

/** The registry asks anew every few minutes; connections are kept as long as the registration is the same. */
function clusterCache(
  config: FunctionConfig,
  endpoint: { endpoint?: string },
  logger: Logger,
): Wiring['clusterOf'] {
  const { clusterParameterPrefix: parameterPrefix, agentNamespace } = config;
  const registry = createClusterRegistry({ parameterPrefix, ...endpoint });
  const cached = new Map<string, { cluster: ClusterApi; registration: string }>();
  return async (clusterName) => {
    const registration = await registry.readRegistration(clusterName);
    const known = cached.get(clusterName);
    if (known?.registration === registration) return known.cluster;
    const kubeconfig = loginOf(registration, clusterName, endpoint);
    const cluster = createClusterApi({ kubeconfig, clusterName, agentNamespace, logger });
    if (cached.size >= maxCachedClusterCount) cached.clear();
    cached.set(clusterName, { cluster, registration });
    return cluster;
  };
}

function loginOf(
  registration: string,
  clusterName: string,
  endpoint: { endpoint?: string },
): string | RegisteredCluster {
  const parsed = parseRegistration(registration, clusterName);
  if ('kubeconfig' in parsed) return parsed.kubeconfig;
  const { access } = parsed;
  return { access, credentials: createCredentialsSource(access, endpoint) };
}

/** What a finisher needs of one invocation. A retry by Lambda has the same request id and must not share a right. */
export function finishDeps(wiring: Wiring, context: FunctionContext): FinishDeps {
  const { claims, objects, clusterOf, clock } = wiring;
  return {
    claims,
    objects,
    clusterOf,
    clock,
    retention: wiring.config.retention,
    logger: wiring.logger.with({ awsRequestId: context.awsRequestId }),
    finisherIdentity: `${context.awsRequestId}/${randomUUID()}`,
    remainingMillis: () => context.getRemainingTimeInMillis(),
  };
}
