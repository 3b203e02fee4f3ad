import type {
  BucketState,
  FunctionState,
  QueueState,
  TableState,
} from '../../aws/inspect-stack.ts';
import type { Registration } from '../../aws/cluster-registrations.ts';
import { messageOf } from '../../errors.ts';
import type { Installation, Right, Subject } from '../../kubernetes/installation.ts';
import { isJsonObject } from '../../validation.ts';
import { functionsGroup } from '../cluster/add-cluster.ts';
import { viewOf } from '../cluster/cluster-text.ts';
import type { DoctorFacts, Seen } from './doctor-facts.ts';
import {
  agentExecRights,
  ephemeralRights,
  forwarderClusterRights,
  forwarderRights,
  functionOwnRights,
  functionRights,
  inNamespaces,
} from './needed-rights.ts';

/** What the doctor touches of the outside. Each call has its own deadline. */
export interface DoctorIo {
  readCaller(): Promise<{ arn: string; region: string }>;
  readOutputs(): Promise<Readonly<Record<string, string>>>;
  inspectBucket(bucketName: string): Promise<BucketState>;
  /** Puts a small object, reads it, deletes it. */
  roundTrip(bucketName: string): Promise<'same' | 'different'>;
  inspectTable(tableName: string): Promise<TableState>;
  inspectFunction(functionName: string): Promise<FunctionState>;
  inspectQueue(queueUrl: string): Promise<QueueState>;
  listRegistrations(): Promise<readonly Registration[]>;
  invoke(functionName: string, payload: unknown): Promise<unknown>;
  /** Of the caller's own kubeconfig. */
  openCluster(): {
    contextName: string;
    server: string;
    installation: Installation;
  };
  now(): Date;
}

export interface DoctorOrder {
  readonly stage: string;
  readonly clusterName: string | undefined;
  /** heapcatch's own. */
  readonly namespace: string;
}

const functionNames = ['Capture', 'Seal', 'Sweep'] as const;
/** Of those that the forwarder watches; more than these are alike. */
const maxNamespaceCount = 5;

async function see<T>(look: () => Promise<T> | T): Promise<Seen<T>> {
  try {
    return { found: await look() };
  } catch (error) {
    return { fault: messageOf(error, 1_000) };
  }
}

/** Looks only when what it needs was found. */
async function seeWith<N, T>(
  needed: Seen<N>,
  what: string,
  look: (found: N) => Promise<T> | T,
): Promise<Seen<T>> {
  return 'found' in needed ? see(() => look(needed.found)) : { notLookedAt: what };
}

/** Looks at all links of the chain, some at once. Changes nothing but one small object in the bucket, which it removes. */
export async function gatherFacts(io: DoctorIo, order: DoctorOrder): Promise<DoctorFacts> {
  const caller = await see(() => io.readCaller());
  const outputs = await seeWith(caller, 'there are no AWS credentials', () => io.readOutputs());
  const cluster = await gatherCluster(io, order);
  const [watched = ''] = namespacesOf(cluster.forwarderConfig);
  const askedNamespace = watched === '' ? order.namespace : watched;
  const stack = await gatherStack(io, order, { outputs, askedNamespace });
  return { stage: order.stage, now: io.now(), caller, outputs, ...stack, ...cluster };
}

type Outputs = Seen<Readonly<Record<string, string>>>;

async function gatherStack(
  io: DoctorIo,
  order: DoctorOrder,
  { outputs, askedNamespace }: { outputs: Outputs; askedNamespace: string },
) {
  const withOutput = <T>(name: string, look: (value: string) => Promise<T>): Promise<Seen<T>> =>
    seeWith(outputs, 'the stack could not be read', (found) => {
      const value = found[name];
      if (value === undefined) throw new Error(`the stack has no output ${name}`);
      return look(value);
    });
  const registrations = await seeWith(outputs, 'the stack could not be read', async () =>
    (await io.listRegistrations()).map(({ clusterName, text, modifiedTime }) =>
      viewOf(clusterName, text, modifiedTime),
    ),
  );
  const registered = 'found' in registrations ? registrations.found : [];
  const only = registered.length === 1 ? registered[0]?.clusterName : undefined;
  const clusterName = order.clusterName ?? only;
  const [bucket, roundTrip, table, functions, deadLetters, dryRun] = await Promise.all([
    withOutput('DumpBucketName', (name) => io.inspectBucket(name)),
    withOutput('DumpBucketName', (name) => io.roundTrip(name)),
    withOutput('ClaimTableName', (name) => io.inspectTable(name)),
    Promise.all(
      functionNames.map(async (name) => ({
        name: name.toLowerCase(),
        seen: await withOutput(`${name}FunctionName`, (found) => io.inspectFunction(found)),
      })),
    ),
    Promise.all(
      functionNames.map(async (name) => ({
        name: `${name}DeadLetters`,
        seen: await withOutput(`${name}DeadLettersUrl`, (url) => io.inspectQueue(url)),
      })),
    ),
    clusterName !== undefined && registered.some((one) => one.clusterName === clusterName)
      ? withOutput('CaptureFunctionName', (name) => dryRunOf(io, askedNamespace, name, clusterName))
      : Promise.resolve({ notLookedAt: 'the cluster is not registered' }),
  ]);
  return {
    ...{ bucket, roundTrip, table, functions, deadLetters },
    ...{ registrations, clusterName, dryRun },
  };
}

/** The function reads a pod that is not there, where it may read pods: by its own network, its own credentials and its own rights. */
async function dryRunOf(io: DoctorIo, namespace: string, functionName: string, cluster: string) {
  const order = { cluster, namespace, pod: 'heapcatch-doctor', dryRun: true };
  const reply = await io.invoke(functionName, order);
  const answers = isJsonObject(reply) && Array.isArray(reply['answers']) ? reply['answers'] : [];
  const [answer] = answers as unknown[];
  if (!isJsonObject(answer)) throw new Error('the capture function gave no answer');
  const text = (name: string): string => {
    const value = answer[name];
    return typeof value === 'string' ? value : '';
  };
  return { decision: text('decision'), reason: text('reason'), message: text('message') };
}

async function gatherCluster(io: DoctorIo, { namespace }: DoctorOrder) {
  const opened = await see(() => io.openCluster());
  const look = <T>(ask: (installation: Installation) => Promise<T>): Promise<Seen<T>> =>
    seeWith(opened, 'there is no kube context', ({ installation }) => ask(installation));
  const [namespaceLabels, forwarder, forwarderConfig, agent, jvmMonitors, forwarderMetrics] =
    await Promise.all([
      look((installation) => installation.readNamespaceLabels()),
      look((installation) => installation.readForwarder()),
      look((installation) => installation.readForwarderConfig()),
      look((installation) => installation.readAgent()),
      look((installation) => installation.hasJvmMonitors()),
      look((installation) => installation.readForwarderMetrics()),
    ]);
  const namespaces = namespacesOf(forwarderConfig);
  const hasAgent = 'found' in agent && agent.found !== undefined;
  const account = (name: string, groups: readonly string[]): Subject => ({
    user: `system:serviceaccount:${namespace}:${name}`,
    groups: [...groups, 'system:serviceaccounts', 'system:authenticated'],
  });
  const functions = account('heapcatch-functions', [functionsGroup]);
  const missing = (subject: Subject, needed: readonly Right[]): Promise<Seen<readonly Right[]>> =>
    look((installation) => missingRights(installation, subject, needed));
  return {
    context:
      'found' in opened
        ? { found: { contextName: opened.found.contextName, server: opened.found.server } }
        : opened,
    ...{ namespaceLabels, forwarder, forwarderConfig, agent, jvmMonitors, forwarderMetrics },
    forwarderRights: await missing(account('heapcatch-forwarder', []), [
      ...inNamespaces(forwarderRights, namespaces),
      ...inNamespaces(forwarderClusterRights, ['']),
    ]),
    functionRights: await missing(functions, [
      ...inNamespaces(functionRights, namespaces),
      ...inNamespaces(functionOwnRights, [namespace]),
      ...(hasAgent ? inNamespaces(agentExecRights, [namespace]) : []),
    ]),
    ephemeralContainers: await look(async (installation) => {
      const needed = inNamespaces(ephemeralRights, namespaces);
      return (await missingRights(installation, functions, needed)).length === 0;
    }),
  };
}

/** Those that the forwarder watches; '' alone is all of them. */
function namespacesOf(config: DoctorFacts['forwarderConfig']): string[] {
  const text = ('found' in config ? config.found?.['HEAPCATCH_NAMESPACES'] : undefined) ?? '';
  const named = text
    .split(',')
    .map((one) => one.trim())
    .filter((one) => one !== '');
  return named.length === 0 ? [''] : named.slice(0, maxNamespaceCount);
}

async function missingRights(
  installation: Installation,
  subject: Subject,
  needed: readonly Right[],
): Promise<Right[]> {
  const allowed = await Promise.all(needed.map((right) => installation.mayDo(subject, right)));
  return needed.filter((_right, index) => allowed[index] !== true);
}
