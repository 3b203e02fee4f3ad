import { mkdirSync, mkdtempSync, writeFileSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { randomBytes } from 'node:crypto';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { createClusterRegistry } from '../../aws/cluster-registry.ts';
import { createDynamoDbClaimStore } from '../../aws/dynamodb-claim-store.ts';
import { createDynamoDbClient } from '../../aws/dynamodb-client.ts';
import { createEventBridgeSignalBus } from '../../aws/event-bus.ts';
import { createS3ObjectStore } from '../../aws/s3-object-store.ts';
import { readStackOutputs } from '../../aws/stack-outputs.ts';
import type { ObjectStore } from '../../capture/ports.ts';
import type { ClaimStore } from '../../claim/claim-store.ts';
import { CaptureError } from '../../errors.ts';
import { startForwarder } from '../../forwarder/forwarder.ts';
import { systemTime } from '../../forwarder/time.ts';
import { createWatchSource } from '../../kubernetes/watch-source.ts';
import { createLogger } from '../../log.ts';
import { deployStack } from '../aws/deploy.ts';
import { startLocalAws } from '../aws/local-aws.ts';
import { startLocalCluster, type LocalCluster } from '../cluster/local-cluster.ts';
import { reportOnCapture, type DemoReport } from './demo-report.ts';
import { observedBus } from './observe.ts';
import { compileApplication, requireMachine } from './preflight.ts';
import { followCapture } from './follow.ts';
import { showResult } from './result.ts';
import { Timeline } from './timeline.ts';
import {
  agentNamespace,
  agentPod,
  cartDeployment,
  demoImages,
  demoNamespace,
  demoPrograms,
} from './workloads.ts';

const region = 'us-east-1';
const clusterName = 'demo';

/** What is undone at the end, last first, whatever happens. */
type Closers = (() => Promise<unknown>)[];

/**
 * The main job on the embedded default: the real stack deployed into a local AWS, the real forwarder and agent, real
 * JVMs in a local cluster; one of three replicas leaks until its liveness probe kills it.
 * @returns whether the dump was caught, indexed and verified, and what the report on it says.
 * @throws CaptureError NotSupported when the machine lacks something.
 */
export async function runDemo(
  write: (text: string) => void,
  stop: AbortSignal,
): Promise<{ holds: boolean; report: DemoReport | undefined }> {
  const jdk = requireMachine();
  const folder = mkdtempSync(path.join(tmpdir(), 'heapcatch-demo-'));
  const closers: Closers = [() => rm(folder, { recursive: true, force: true })];
  try {
    const classes = compileApplication(jdk, folder);
    write(`JDK ${jdk.version}; starting the local AWS and the local cluster\n`);
    const markerText = `heapcatch marker ${randomBytes(8).toString('hex')}`;
    const aws = await startAws(folder, closers, write, stop);
    stop.throwIfAborted();
    const cluster = await startLocalCluster({
      images: demoImages(jdk, classes),
      programs: demoPrograms(),
    });
    closers.push(() => cluster.close());
    await register(cluster, aws, folder);
    const timeline = new Timeline(write);
    await startDemoForwarder(cluster, aws, folder, timeline, closers);
    cluster.createDeployment(demoNamespace, cartDeployment(markerText));
    const capture = await followCapture({ cluster, timeline, stop, clusterName, ...aws });
    const holds = await showResult({ objects: aws.objects, write, capture, markerText });
    const report = await reportOnCapture(aws.objects, capture.entry, folder);
    return { holds: holds && report !== undefined, report };
  } finally {
    for (const close of closers.toReversed()) await close().catch(() => undefined);
  }
}

export interface DemoAws {
  endpoint: string;
  stage: string;
  busName: string;
  objects: ObjectStore;
  claims: ClaimStore;
}

/** Starts the local AWS and deploys the stack as anybody would. */
async function startAws(
  folder: string,
  closers: Closers,
  write: (text: string) => void,
  stop: AbortSignal,
): Promise<DemoAws> {
  const aws = await startLocalAws({
    stateFolder: path.join(folder, 'aws'),
    report: (line) => write(`${line}\n`),
  });
  closers.push(() => aws.close());
  // The SDK's clients of this process take region and credentials from its environment.
  Object.assign(process.env, aws.env);
  const stage = `demo-${randomBytes(3).toString('hex')}`;
  stop.throwIfAborted();
  write(`deploying the stack heapcatch-${stage} (serverless deploy)\n`);
  const params = { defaultClusterName: clusterName, agentNamespace, allowPlainHttp: 'true' };
  const { stackName } = await deployStack({ stage, env: aws.env, params, stop });
  const { endpoint } = aws;
  const outputs = await readStackOutputs(stackName, { region, endpoint });
  const output = (name: string): string => {
    const value = outputs[name];
    if (value !== undefined) return value;
    throw new CaptureError('InvalidConfiguration', `${stackName} has no output ${name}`);
  };
  return {
    endpoint,
    stage,
    busName: output('SignalBusName'),
    objects: createS3ObjectStore({ bucketName: output('DumpBucketName'), region, endpoint }),
    claims: createDynamoDbClaimStore({
      client: createDynamoDbClient({ region, endpoint }),
      tableName: output('ClaimTableName'),
    }),
  };
}

/** Gives the functions their way into the cluster, and the node its agent. */
async function register(cluster: LocalCluster, aws: DemoAws, folder: string): Promise<void> {
  const registry = createClusterRegistry({
    parameterPrefix: `/heapcatch/${aws.stage}/clusters`,
    region,
    endpoint: aws.endpoint,
  });
  await registry.writeKubeconfig(clusterName, cluster.kubeconfig);
  cluster.createPod(agentNamespace, agentPod(path.join(folder, 'agent.sock')));
}

async function startDemoForwarder(
  cluster: LocalCluster,
  aws: DemoAws,
  folder: string,
  timeline: Timeline,
  closers: Closers,
): Promise<void> {
  const spoolDirectory = path.join(folder, 'spool');
  mkdirSync(spoolDirectory);
  const logFile = path.join(folder, 'forwarder.log');
  const log = createLogger('forwarder', {
    write: (line) => writeFileSync(logFile, line, { flag: 'a' }),
  });
  const forwarder = await startForwarder({
    clusterName,
    namespaces: [demoNamespace],
    spoolDirectory,
    spoolMaxBytes: 1 << 20,
    httpPort: 0,
    apiPort: 0,
    source: createWatchSource({ kubeconfig: cluster.kubeconfig, clusterName }),
    bus: observedBus(
      createEventBridgeSignalBus({ busName: aws.busName, region, endpoint: aws.endpoint }),
      timeline,
    ),
    time: systemTime,
    random: Math.random,
    log,
  });
  closers.push(() => forwarder.stop());
}
