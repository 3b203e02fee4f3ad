import { randomUUID } from 'node:crypto';
import type { ClusterRegistry } from '../lib/aws/cluster-registry.ts';
import { parseRegistration, type RegisteredCluster } from '../lib/cluster-access.ts';
import type { ClaimStore } from '../lib/claim/claim-store.ts';
import type { FinishDeps } from '../lib/capture/conclude-capture.ts';
import type { ClusterApi, Clock, DataKeys, ObjectStore } from '../lib/capture/ports.ts';
import { createLogger, type Logger } from '../lib/log.ts';
import { readFunctionConfig, type FunctionConfig } from './config.ts';
import { lazyPort } from './lazy-port.ts';

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
  // The dimension of every metric that a line holds.
  const logger = createLogger(component, { fields: { stage: config.stage } });
  const endpoint = config.awsEndpoint === undefined ? {} : { endpoint: config.awsEndpoint };
  return {
    config,
    // The clients of AWS and of Kubernetes are most of what there is to load: each comes when it is first asked.
    claims: lazyPort(async () => {
      const { createDynamoDbClaimStore } = await import('../lib/aws/dynamodb-claim-store.ts');
      const { createDynamoDbClient } = await import('../lib/aws/dynamodb-client.ts');
      const client = createDynamoDbClient(endpoint);
      return createDynamoDbClaimStore({ client, tableName: config.tableName });
    }),
    objects: lazyPort(async () => {
      const { createS3ObjectStore } = await import('../lib/aws/s3-object-store.ts');
      const { bucketName, publicS3Endpoint: publicEndpoint } = config;
      const there = publicEndpoint === undefined ? {} : { publicEndpoint };
      return createS3ObjectStore({ bucketName, ...endpoint, ...there });
    }),
    clusterOf: clusterCache(config, endpoint, logger),
    listClusters: async () => {
      const { listClusters } = await import('../lib/aws/list-clusters.ts');
      return listClusters({ parameterPrefix: config.clusterParameterPrefix, ...endpoint });
    },
    ...dataKeysOf(config, endpoint),
    clock: () => new Date(),
    logger,
  };
}

/** Most stacks have no key for encryption. */
function dataKeysOf(
  { encryptionKeyArn: keyArn, bucketName }: FunctionConfig,
  endpoint: { endpoint?: string },
): { dataKeys?: DataKeys } {
  if (keyArn === undefined) return {};
  return {
    dataKeys: lazyPort(async () => {
      const { createKmsDataKeys } = await import('../lib/aws/kms-data-keys.ts');
      return createKmsDataKeys({ keyArn, bucketName, ...endpoint });
    }),
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
  const registry = lazyPort<Pick<ClusterRegistry, 'readRegistration'>>(async () => {
    const { createClusterRegistry } = await import('../lib/aws/cluster-registry.ts');
    return createClusterRegistry({ parameterPrefix, ...endpoint });
  });
  const cached = new Map<string, { cluster: ClusterApi; registration: string }>();
  return async (clusterName) => {
    const registration = await registry.readRegistration(clusterName);
    const known = cached.get(clusterName);
    if (known?.registration === registration) return known.cluster;
    const { createClusterApi } = await import('../lib/kubernetes/cluster-api.ts');
    const kubeconfig = await loginOf(registration, clusterName, endpoint);
    const cluster = createClusterApi({ kubeconfig, clusterName, agentNamespace, logger });
    if (cached.size >= maxCachedClusterCount) cached.clear();
    cached.set(clusterName, { cluster, registration });
    return cluster;
  };
}

async function loginOf(
  registration: string,
  clusterName: string,
  endpoint: { endpoint?: string },
): Promise<string | RegisteredCluster> {
  const parsed = parseRegistration(registration, clusterName);
  if ('kubeconfig' in parsed) return parsed.kubeconfig;
  const { access } = parsed;
  const { createCredentialsSource } = await import('../lib/aws/cluster-credentials.ts');
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
