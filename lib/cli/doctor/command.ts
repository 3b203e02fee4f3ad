import { randomUUID } from 'node:crypto';
import { parseArgs } from 'node:util';
import { createClusterRegistrations } from '../../aws/cluster-registrations.ts';
import { invokeFunction } from '../../aws/function-invoker.ts';
import {
  inspectBucket,
  inspectFunction,
  inspectQueue,
  inspectTable,
  readCaller,
} from '../../aws/inspect-stack.ts';
import { createS3ObjectStore } from '../../aws/s3-object-store.ts';
import { readStackOutputs } from '../../aws/stack-outputs.ts';
import type { ObjectStore } from '../../capture/ports.ts';
import { CaptureError, messageOf } from '../../errors.ts';
import { createInstallation } from '../../kubernetes/installation.ts';
import { readKubeContext } from '../../kubernetes/kube-context.ts';
import { shown } from '../../validation.ts';
import { useProfile } from '../use-profile.ts';
import type { Finding } from './doctor-facts.ts';
import { gatherFacts, type DoctorIo, type DoctorOrder } from './gather.ts';
import { judgeAws } from './judge-aws.ts';
import { judgeCluster } from './judge-cluster.ts';

const usage = `heapcatch doctor [--cluster NAME] [--context CONTEXT] [--namespace NAMESPACE]
                 [--stage STAGE] [--region REGION] [--profile PROFILE] [--json]

Looks at every link from the forwarder to the bucket, and says of each that does not hold what to do. Changes nothing but one
small object in the bucket, which it puts, reads and deletes. What it may not look at is a warning.

  --cluster NAME         the registered cluster; needed only where there are several
  --context CONTEXT      the kube context of that cluster, if not the current one
  --namespace NAMESPACE  where heapcatch is installed (default: heapcatch)
  --stage STAGE          of the stack (default: dev)

Exit codes: 0 all links hold, with warnings perhaps; 1 one does not; 2 not understood.
`;

/** What the command touches of the outside. */
export interface DoctorCommandIo {
  outsideOf(order: DoctorWords): DoctorIo;
  write(text: string): void;
  writeError(text: string): void;
}

export interface DoctorWords extends DoctorOrder {
  readonly contextName?: string | undefined;
  readonly region?: string | undefined;
  readonly profile?: string | undefined;
  readonly json: boolean;
}

/** `heapcatch doctor`, on the process's own streams, kubeconfig and AWS environment. */
export function runDoctorCommand(words: readonly string[]): Promise<number> {
  return doctorCommand(words, {
    outsideOf: processOutside,
    write: (text) => void process.stdout.write(text),
    writeError: (text) => void process.stderr.write(text),
  });
}

/** Runs the command; what it cannot do is said on the error stream. */
export async function doctorCommand(
  words: readonly string[],
  io: DoctorCommandIo,
): Promise<number> {
  try {
    const order = readWords(words);
    if (order === 'help') {
      io.write(usage);
      return 0;
    }
    const facts = await gatherFacts(io.outsideOf(order), order);
    const findings = [...judgeAws(facts), ...judgeCluster(facts)];
    const holds = findings.every((finding) => finding.state !== 'failed');
    io.write(order.json ? `${JSON.stringify({ holds, findings })}\n` : reportText(findings));
    return holds ? 0 : 1;
  } catch (error) {
    io.writeError(`heapcatch doctor: ${messageOf(error, 4_000)}\n`);
    return 2;
  }
}

function readWords(words: readonly string[]): DoctorWords | 'help' {
  const { values } = parseArgs({
    args: [...words],
    options: {
      cluster: { type: 'string' },
      context: { type: 'string' },
      namespace: { type: 'string' },
      stage: { type: 'string' },
      region: { type: 'string' },
      profile: { type: 'string' },
      json: { type: 'boolean' },
      help: { type: 'boolean', short: 'h' },
    },
  });
  if (values.help === true) return 'help';
  const { stage = 'dev', namespace = 'heapcatch', json = false } = values;
  if (!/^[A-Za-z0-9-]{1,40}$/.test(stage)) {
    const accepted = 'accepted are 1 to 40 letters, digits and "-"';
    throw new CaptureError('InvalidConfiguration', `--stage is ${shown(stage)}; ${accepted}`);
  }
  const { cluster: clusterName, context: contextName, region, profile } = values;
  return { stage, namespace, json, clusterName, contextName, region, profile };
}

const marks = { ok: 'ok     ', warning: 'warning', failed: 'FAILED ', notLookedAt: '-      ' };

/** One line a link, and one for what to do. */
function reportText(findings: readonly Finding[]): string {
  const width = Math.max(...findings.map(({ link }) => link.length));
  const lines = findings.flatMap(({ link, state, says, advice }) => [
    `${marks[state]}  ${link.padEnd(width)}  ${oneLine(says)}`,
    ...(advice === undefined ? [] : [`${' '.repeat(width + 11)}-> ${advice}`]),
  ]);
  const count = (state: Finding['state']): number =>
    findings.filter((finding) => finding.state === state).length;
  const summary = `${count('ok')} ok, ${count('warning')} warnings, ${count('failed')} failed, ${count('notLookedAt')} not looked at`;
  return `${[...lines, '', summary].join('\n')}\n`;
}

/** What services and clusters say must not draw on the terminal. */
function oneLine(text: string): string {
  return text.replace(/[\p{Cc}\p{Cf}]+/gu, ' ');
}

/** Under `tickets/`, where a rule of the bucket removes what should be left behind within a day. */
export async function roundTrip(
  objects: Pick<ObjectStore, 'putObject' | 'getObject' | 'deleteObject'>,
  name: string,
): Promise<'same' | 'different'> {
  const objectKey = `tickets/doctor-${name}.txt`;
  const body = Buffer.from(`heapcatch doctor ${name}\n`);
  await objects.putObject(objectKey, body, { contentType: 'text/plain' });
  try {
    const read = await objects.getObject(objectKey, { maxBytes: 1_024 });
    return read !== undefined && body.equals(read) ? 'same' : 'different';
  } finally {
    await objects.deleteObject(objectKey);
  }
}

function processOutside({ stage, namespace, contextName, region, profile }: DoctorWords): DoctorIo {
  useProfile(profile, process.env);
  const endpoint = process.env['AWS_ENDPOINT_URL'];
  const place = { ...(region && { region }), ...(endpoint && { endpoint }) };
  return {
    readCaller: () => readCaller(place),
    readOutputs: () => readStackOutputs(`heapcatch-${stage}`, place),
    inspectBucket: (bucketName) => inspectBucket(bucketName, place),
    roundTrip: (bucketName) =>
      roundTrip(createS3ObjectStore({ bucketName, ...place }), randomUUID()),
    inspectTable: (tableName) => inspectTable(tableName, place),
    inspectFunction: (functionName) => inspectFunction(functionName, place),
    inspectQueue: (queueUrl) => inspectQueue(queueUrl, place),
    listRegistrations: () =>
      createClusterRegistrations({
        ...place,
        parameterPrefix: `/heapcatch/${stage}/clusters`,
      }).list(),
    invoke: (functionName, payload) => invokeFunction(functionName, payload, place),
    openCluster() {
      const { kubeconfig, ...context } = readKubeContext(contextName);
      return { ...context, installation: createInstallation(kubeconfig, namespace) };
    },
    now: () => new Date(),
  };
}
