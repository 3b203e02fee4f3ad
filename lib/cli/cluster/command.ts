import { readFile } from 'node:fs/promises';
import { text as readAll } from 'node:stream/consumers';
import { createCredentialsSource, regionOf } from '../../aws/cluster-credentials.ts';
import {
  clusterSecretName,
  createClusterRegistrations,
  type Registration,
} from '../../aws/cluster-registrations.ts';
import { describeEksCluster } from '../../aws/eks-clusters.ts';
import { readStackOutputs } from '../../aws/stack-outputs.ts';
import { CaptureError, messageOf } from '../../errors.ts';
import { readKubeContext } from '../../kubernetes/kube-context.ts';
import { reviewSelf } from '../../kubernetes/self-review.ts';
import { useProfile } from '../use-profile.ts';
import { addCluster, type AddIo } from './add-cluster.ts';
import { accessEntryCommands, addedText, listText, showText, viewOf } from './cluster-text.ts';
import { readClusterWords, usage, type ClusterOrder, type Place } from './words.ts';

/** What the command touches of the outside of one stage. */
export interface StageIo extends AddIo {
  stackOutputs(): Promise<Readonly<Record<string, string>>>;
}

export interface ClusterIo {
  stageOf(place: Place): StageIo;
  write(text: string): void;
  writeError(text: string): void;
}

/** `heapcatch cluster`, on the process's own streams, kubeconfig and AWS environment. */
export function runClusterCommand(words: readonly string[]): Promise<number> {
  return clusterCommand(words, {
    stageOf: processStage,
    write: (text) => void process.stdout.write(text),
    writeError: (text) => void process.stderr.write(text),
  });
}

/** Runs the command; what it cannot do is said on the error stream. */
export async function clusterCommand(words: readonly string[], io: ClusterIo): Promise<number> {
  try {
    const order = readClusterWords(words);
    if (order === 'help') {
      io.write(usage);
      return 0;
    }
    return await carryOut({ ...io.stageOf(order), ...io }, order);
  } catch (error) {
    io.writeError(`heapcatch cluster: ${messageOf(error, 4_000)}\n`);
    const code = error instanceof CaptureError ? error.code : undefined;
    return code === 'ClusterUnavailable' || code === 'ClusterForbidden' ? 1 : 2;
  }
}

async function carryOut(io: StageIo & ClusterIo, order: ClusterOrder): Promise<number> {
  if (order.verb === 'add') {
    const added = await addCluster(io, order);
    const roles = order.identity.kind === 'eks' ? await roleArns(io) : undefined;
    const next =
      roles === undefined ? [] : accessEntryCommands(order.identity, added.access, roles);
    const { access, ...said } = added;
    const view = viewOf(order.clusterName, { access }, undefined);
    if (order.json) io.write(`${JSON.stringify({ ...view, ...said, next })}\n`);
    else io.write(addedText(order.clusterName, added, next));
    return 0;
  }
  if (order.verb === 'remove') {
    const existed = await io.registrations.remove(order.clusterName);
    const text = `cluster ${order.clusterName} ${existed ? 'is removed' : 'is not registered'}`;
    if (order.json)
      io.write(`${JSON.stringify({ clusterName: order.clusterName, removed: existed })}\n`);
    else if (existed) io.write(`${text}\n`);
    else io.writeError(`heapcatch cluster: ${text}\n`);
    return existed ? 0 : 1;
  }
  const registrations = await io.registrations.list();
  if (order.verb === 'list') {
    const views = registrations.map(viewOfRegistration);
    io.write(order.json ? `${JSON.stringify(views)}\n` : listText(views, io.now()));
    return 0;
  }
  const found = registrations.find((one) => one.clusterName === order.clusterName);
  if (found === undefined) {
    const names = registrations.map((one) => one.clusterName).join(', ') || 'none';
    io.writeError(
      `heapcatch cluster: ${order.clusterName} is not registered; registered are: ${names}\n`,
    );
    return 1;
  }
  const view = viewOfRegistration(found);
  io.write(order.json ? `${JSON.stringify(view)}\n` : showText(view, io.now()));
  return 0;
}

function viewOfRegistration({ clusterName, text, modifiedTime }: Registration) {
  return viewOf(clusterName, text, modifiedTime);
}

/** Without a stack, or one of an earlier version, the commands that follow name the roles by their outputs. */
async function roleArns(io: StageIo): Promise<readonly string[]> {
  const names = ['CaptureRoleArn', 'SealRoleArn', 'SweepRoleArn'];
  const outputs = await io.stackOutputs().catch((): Record<string, string> => ({}));
  return names.map((name) => outputs[name] ?? `<output ${name} of the stack>`);
}

function processStage({ stage, region, profile }: Place): StageIo {
  useProfile(profile, process.env);
  const endpoint = process.env['AWS_ENDPOINT_URL'];
  const place = { ...(region && { region }), ...(endpoint && { endpoint }) };
  const parameterPrefix = `/heapcatch/${stage}/clusters`;
  return {
    readFile: (file) => (file === '-' ? readAll(process.stdin) : readFile(file, 'utf8')),
    kubeContext: readKubeContext,
    describeEks: (eksClusterName, eksRegion) =>
      describeEksCluster(eksClusterName, { ...place, region: eksRegion }),
    region: () => regionOf(place),
    registrations: createClusterRegistrations({ ...place, parameterPrefix }),
    secretNameOf: (clusterName) => clusterSecretName(parameterPrefix, clusterName),
    credentialsOf: (access) => createCredentialsSource(access, place),
    reviewSelf,
    stackOutputs: () => readStackOutputs(`heapcatch-${stage}`, place),
    now: () => new Date(),
  };
}
