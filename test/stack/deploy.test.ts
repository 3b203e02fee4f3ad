import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { DynamoDBClient, GetItemCommand, PutItemCommand } from '@aws-sdk/client-dynamodb';
import {
  CreateEventBusCommand,
  EventBridgeClient,
  PutEventsCommand,
} from '@aws-sdk/client-eventbridge';
import {
  CreateAccessKeyCommand,
  CreateUserCommand,
  IAMClient,
  PutUserPolicyCommand,
} from '@aws-sdk/client-iam';
import {
  CreateBucketCommand,
  GetObjectCommand,
  HeadBucketCommand,
  PutObjectCommand,
  S3Client,
} from '@aws-sdk/client-s3';
import { CreateKeyCommand, KMSClient } from '@aws-sdk/client-kms';
import { CreateTopicCommand, PublishCommand, SNSClient } from '@aws-sdk/client-sns';
import { AssumeRoleCommand, STSClient } from '@aws-sdk/client-sts';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { releaseTemplate } from '../../infra/cloudformation/release-template.ts';
import { openDeadLetters } from '../../lib/aws/dead-letters.ts';
import { redrive } from '../../lib/cli/redrive/command.ts';
import { deployStack, removeStack } from '../../lib/local/aws/deploy.ts';
import { freePort } from '../../lib/local/aws/local-aws.ts';
import { installedPython } from '../../lib/local/python-venv.ts';
import { eventually } from '../e2e/shell.ts';
import { kubeconfigFor, sendStatus, startFakeApi, type FakeApi } from '../kubernetes/fake-api.ts';
import { openAccount, type Account, type Template } from './account.ts';
import { previousRelease } from './previous-release.ts';

const stage = 'dev';
const stackName = 'heapcatch-dev';
const clusterName = 'shop-cluster';
const denied = { name: 'AccessDenied' };
/** The local AWS has no TLS. */
const params = { allowPlainHttp: 'true' };

let account: Account;
let api: FakeApi;
let outputs: Readonly<Record<string, string>>;
let before: Readonly<Record<string, string>>;

const signal = (podName: string) => ({
  schemaVersion: 1,
  clusterName,
  namespace: 'shop',
  podName,
  podUid: '5b3f9c1e-0000-4000-8000-000000000001',
  reason: 'LivenessProbeFailing',
  observedTime: new Date().toISOString(),
});

/** The function asked the cluster for the pod: what was sent has arrived, and it decides by what it finds. */
const askedFor = (podName: string): Promise<true> =>
  eventually(`a look at pod ${podName}`, 30, () =>
    Promise.resolve(
      api.requests.some(({ url }) => url === `/api/v1/namespaces/shop/pods/${podName}`)
        ? true
        : undefined,
    ),
  );

/** Lines of `name: value`, quoted or not, which is all that is pasted. */
function parseYaml(text: string): Record<string, string> {
  return Object.fromEntries(
    [...text.matchAll(/^ *(\w+): *'?([^'#\n]*)'?/gm)].map(([, name, value]) => [
      name!,
      value!.trim(),
    ]),
  );
}

const s3As = (credentials?: {
  accessKeyId: string;
  secretAccessKey: string;
  sessionToken?: string;
}) =>
  new S3Client({
    region: account.region,
    endpoint: account.endpoint,
    forcePathStyle: true,
    ...(credentials === undefined ? {} : { credentials }),
  });

async function redriven(words: readonly string[]): Promise<string> {
  let said = '';
  const code = await redrive(words, {
    outputsOf: (name) => account.outputsOf(name),
    open: (queueUrl, functionName) =>
      openDeadLetters({
        queueUrl,
        functionName,
        region: account.region,
        endpoint: account.endpoint,
      }),
    write: (text) => void (said += text),
    writeError: (text) => void (said += text),
  });
  if (code !== 0) throw new Error(said);
  return said;
}

const lintRequirements = path.join(import.meta.dirname, 'cfn-lint-requirements.txt');

/** What cfn-lint says of each template, the codes of its rules; one process, since most of its time is its start. */
function linted(templates: Readonly<Record<string, Template>>): Record<string, string[]> {
  const python = installedPython({
    name: 'cfn-lint',
    what: 'cfn-lint',
    requirements: lintRequirements,
    report: (line) => process.stderr.write(`${line}\n`),
  });
  const folder = mkdtempSync(path.join(tmpdir(), 'heapcatch-lint-'));
  try {
    const files = Object.entries(templates).map(([name, template]) => {
      const file = path.join(folder, `${name}.json`);
      writeFileSync(file, JSON.stringify(template, null, 1));
      return file;
    });
    const program = 'import sys; from cfnlint.runner import main; sys.exit(main())';
    // W3005: the serverless program names a function's role once more as what it depends on. W1033: an empty list of
    // subnets is none, which is why there is a condition before it.
    const options = [
      '--regions',
      'us-east-1',
      '--ignore-checks',
      'W3005',
      'W1033',
      '--format',
      'json',
      '--',
    ];
    const { stdout } = spawnSync(python, ['-c', program, ...options, ...files], {
      encoding: 'utf8',
    });
    const findings = JSON.parse(stdout) as { Filename: string; Rule: { Id: string } }[];
    const of = (name: string): string[] =>
      findings
        .filter(({ Filename }) => path.basename(Filename) === `${name}.json`)
        .map(({ Rule }) => Rule.Id);
    return Object.fromEntries(Object.keys(templates).map((name) => [name, of(name)]));
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** The deployed code, in a bucket that stays. */
async function keepArtifacts(
  deploymentBucket: string,
): Promise<{ ArtifactBucket: string; ArtifactPrefix: string }> {
  const s3 = s3As();
  const ArtifactBucket = 'artifacts';
  const ArtifactPrefix = 'heapcatch/next/';
  await s3.send(new CreateBucketCommand({ Bucket: ArtifactBucket }));
  const template = await account.stacks.templateOf(stackName);
  for (const resource of Object.values(template.Resources)) {
    if (resource.Type !== 'AWS::Lambda::Function') continue;
    const { S3Key } = resource.Properties['Code'] as { S3Key: string };
    const Key = `${ArtifactPrefix}${path.basename(S3Key)}`;
    const code = await s3.send(new GetObjectCommand({ Bucket: deploymentBucket, Key: S3Key }));
    const Body = await code.Body!.transformToByteArray();
    await s3.send(new PutObjectCommand({ Bucket: ArtifactBucket, Key, Body }));
  }
  return { ArtifactBucket, ArtifactPrefix };
}

/** What an account has before the stack comes. */
async function givenParts(place: Account) {
  const BucketName = 'a-bucket-of-ours';
  const EventBusName = 'a-bus-of-ours';
  await s3As().send(new CreateBucketCommand({ Bucket: BucketName }));
  await new EventBridgeClient(place).send(new CreateEventBusCommand({ Name: EventBusName }));
  const topic = await new SNSClient(place).send(new CreateTopicCommand({ Name: 'pager' }));
  const key = await new KMSClient(place).send(new CreateKeyCommand({}));
  return {
    BucketName,
    EventBusName,
    AlarmTopicArn: topic.TopicArn!,
    DataKeyArn: key.KeyMetadata!.Arn!,
    SubnetIds: 'subnet-1,subnet-2',
    SecurityGroupIds: 'sg-1',
  };
}

beforeAll(async () => {
  account = await openAccount();
  api = await startFakeApi((_request, response) => sendStatus(response, 404, 'not found'));
  before = await previousRelease(account, stackName);
  const dynamo = new DynamoDBClient(account);
  const Item = { pk: { S: 'lock#of-the-previous-release' } };
  await dynamo.send(new PutItemCommand({ TableName: before['ClaimTableName']!, Item }));
  await s3As().send(
    new PutObjectCommand({
      Bucket: before['DumpBucketName']!,
      Key: 'dumps/a/heap.hprof.zst',
      Body: 'kept',
    }),
  );

  await deployStack({ stage, env: account.env, params: { ...params, tags: 'team=payments' } });
  outputs = await account.outputsOf(stackName);
  await account.registry(stage).writeKubeconfig(clusterName, api.kubeconfig);
}, 150_000);

afterAll(async () => {
  await account.close();
  await api.close();
});

describe('the stack, deployed over the previous release', () => {
  it('keeps bucket, table, key, bus and topic with what is in them', async () => {
    const kept = [
      'DumpBucketName',
      'ClaimTableName',
      'DataKeyArn',
      'SignalBusName',
      'SignalTopicArn',
    ];
    for (const name of kept) expect(outputs[name]).toBe(before[name]);
    const dynamo = new DynamoDBClient(account);
    const Key = { pk: { S: 'lock#of-the-previous-release' } };
    const item = await dynamo.send(
      new GetItemCommand({ TableName: outputs['ClaimTableName']!, Key }),
    );
    expect(item.Item).toBeDefined();
    const object = await s3As().send(
      new GetObjectCommand({ Bucket: outputs['DumpBucketName']!, Key: 'dumps/a/heap.hprof.zst' }),
    );
    expect(await object.Body?.transformToString()).toBe('kept');
  });

  it('says what the cluster is to be told, ready to paste', () => {
    const base = path.resolve(import.meta.dirname, '../../infra/kubernetes/base/forwarder.yaml');
    const settings = parseYaml(/data:\n((?: {2}\w.*\n)+)/.exec(readFileSync(base, 'utf8'))![1]!);
    const patch = outputs['KustomizePatch']!;
    const told = parseYaml(/data:\n((?: {2}\w.*\n?)+)/.exec(patch)![1]!);

    expect(patch).toContain('kind: ConfigMap\nmetadata: { name: heapcatch-forwarder }\n');
    expect(told).toEqual({
      HEAPCATCH_CLUSTER_NAME: 'cluster',
      HEAPCATCH_EVENT_BUS_NAME: outputs['SignalBusName'],
      AWS_REGION: account.region,
    });
    for (const name of Object.keys(told)) expect(settings).toHaveProperty(name);
    expect(parseYaml(outputs['HelmValues']!)).toEqual({
      image: '',
      clusterName: 'cluster',
      eventBusName: outputs['SignalBusName'],
      region: account.region,
    });
  });

  it('answers a person with what was decided', async () => {
    const answer = await account.invoke(outputs['CaptureFunctionName']!, {
      cluster: clusterName,
      namespace: 'shop',
      pod: 'by-hand',
      dryRun: true,
    });

    expect(answer).toMatchObject({ answers: [{ decision: 'skip', reason: expect.any(String) }] });
    await askedFor('by-hand');
  });

  it('is reached by an event on the bus', async () => {
    const events = new EventBridgeClient(account);
    const entry = {
      EventBusName: outputs['SignalBusName']!,
      Source: 'heapcatch',
      DetailType: 'heapcatch Signal',
      Detail: JSON.stringify(signal('by-bus')),
    };
    const reply = await events.send(new PutEventsCommand({ Entries: [entry] }));

    expect(reply.FailedEntryCount).toBe(0);
    await askedFor('by-bus');
  });

  it('is reached by a message on the topic', async () => {
    const sns = new SNSClient(account);
    const Message = JSON.stringify(signal('by-topic'));
    await sns.send(new PublishCommand({ TopicArn: outputs['SignalTopicArn']!, Message }));

    await askedFor('by-topic');
  });

  it('lets the schedule and the manifests reach the other two', async () => {
    const swept = await account.invoke(outputs['SweepFunctionName']!, {});
    const sealed = await account.invoke(outputs['SealFunctionName']!, { Records: [] });

    expect(swept).toMatchObject({ renewed: [] });
    expect(sealed).toEqual({ answers: [] });
  });

  it('keeps what could not be handled, and handles it again when the cause is mended', async () => {
    const port = await freePort('127.0.0.1');
    await account
      .registry(stage)
      .writeKubeconfig('down', kubeconfigFor(`http://127.0.0.1:${port}`));
    const events = new EventBridgeClient(account);
    const Detail = JSON.stringify({ ...signal('given-up'), clusterName: 'down' });
    const kind = { Source: 'heapcatch', DetailType: 'heapcatch Signal' };
    const entry = { EventBusName: outputs['SignalBusName']!, ...kind, Detail };
    await events.send(new PutEventsCommand({ Entries: [entry] }));

    const words = ['--stage', stage, '--function', 'capture'];
    // Three invocations, each of which asks an API that does not answer for half a minute.
    const shown = await eventually('a dead letter', 180, async () => {
      const said = await redriven([...words, '--dry-run']);
      return said.includes('no dead letters') ? undefined : said;
    });
    expect(shown).toMatch(/RetriesExhausted.*not reached|RetriesExhausted/);

    const mended = await startFakeApi(
      (_request, response) => sendStatus(response, 404, 'not found'),
      port,
    );
    try {
      expect(await redriven(words)).toContain('given again');
      await eventually('a look at the pod', 30, () =>
        Promise.resolve(mended.requests.some(({ url }) => url.includes('given-up')) || undefined),
      );
      expect(await redriven(words)).toContain('no dead letters');
    } finally {
      await mended.close();
    }
  }, 300_000);

  it('lets nobody read dumps but those who take the role for it, administrators neither', async () => {
    const iam = new IAMClient(account);
    const UserName = 'administrator';
    await iam.send(new CreateUserCommand({ UserName }));
    const everything = { Effect: 'Allow', Action: '*', Resource: '*' };
    const PolicyDocument = JSON.stringify({ Version: '2012-10-17', Statement: [everything] });
    await iam.send(new PutUserPolicyCommand({ UserName, PolicyName: 'all', PolicyDocument }));
    const { AccessKey } = await iam.send(new CreateAccessKeyCommand({ UserName }));
    const credentials = {
      accessKeyId: AccessKey!.AccessKeyId!,
      secretAccessKey: AccessKey!.SecretAccessKey!,
    };
    const sts = new STSClient({ ...account, credentials });
    const RoleArn = outputs['DumpReaderRoleArn']!;
    const assumed = await sts.send(new AssumeRoleCommand({ RoleArn, RoleSessionName: 'case-17' }));
    const { AccessKeyId, SecretAccessKey, SessionToken } = assumed.Credentials!;
    const asReader = s3As({
      accessKeyId: AccessKeyId!,
      secretAccessKey: SecretAccessKey!,
      sessionToken: SessionToken!,
    });
    const asAdministrator = s3As(credentials);
    const Bucket = outputs['DumpBucketName']!;
    const dump = { Bucket, Key: 'dumps/a/heap.hprof.zst' };
    const ticket = { Bucket, Key: 'tickets/a.json' };
    await asAdministrator.send(new PutObjectCommand({ ...ticket, Body: '{}' }));

    await expect(asAdministrator.send(new GetObjectCommand(dump))).rejects.toMatchObject(denied);
    const read = await asReader.send(new GetObjectCommand(dump));
    expect(await read.Body?.transformToString()).toBe('kept');
    await expect(asReader.send(new GetObjectCommand(ticket))).rejects.toMatchObject(denied);
    await expect(asReader.send(new PutObjectCommand({ ...dump, Body: 'x' }))).rejects.toMatchObject(
      denied,
    );
  });

  it('goes on working as before when an update fails', async () => {
    const template = await account.stacks.templateOf(stackName);
    const broken = structuredClone(template);
    const code = broken.Resources['SealLambdaFunction']!.Properties['Code'] as { S3Key: string };
    code.S3Key = 'serverless/heapcatch/dev/never-uploaded/seal.zip';
    broken.Resources['CaptureLambdaFunction']!.Properties['Timeout'] = 60;

    expect(await account.stacks.update(stackName, broken)).toBe('UPDATE_ROLLBACK_COMPLETE');

    expect(await account.outputsOf(stackName)).toEqual(outputs);
    const answer = await account.invoke(outputs['CaptureFunctionName']!, {
      ...{ cluster: clusterName, namespace: 'shop', pod: 'after-the-failure', dryRun: true },
    });
    expect(answer).toMatchObject({ answers: [{ decision: 'skip' }] });
    expect(await account.invoke(outputs['SealFunctionName']!, { Records: [] })).toEqual({
      answers: [],
    });
  });

  it('has a Terraform module that Terraform can read, where it is installed', () => {
    const folder = path.resolve(import.meta.dirname, '../../infra/terraform');
    const env = { ...process.env, TF_CLI_CONFIG_FILE: '/dev/null' };
    for (const program of ['terraform', 'tofu']) {
      const args = ['fmt', '-check', '-diff', folder];
      const { status, stdout, stderr } = spawnSync(program, args, { encoding: 'utf8', env });
      if (status !== null) expect([status, stdout, stderr]).toEqual([0, '', expect.any(String)]);
    }
  });

  it('passes cfn-lint, as packaged and as released', async () => {
    const packaged = await account.stacks.templateOf(stackName);
    const released = releaseTemplate(packaged);
    const broken = structuredClone(packaged);
    broken.Resources['ClaimTable']!.Properties['BillingMode'] = { 'Fn::GetAtt': ['Nope', 'Arn'] };

    expect(linted({ packaged, released, broken })).toEqual({
      packaged: [],
      released: [],
      broken: ['E1010'],
    });
  }, 60_000);

  it('is removed but for key and bucket, and comes up elsewhere with all that an account may have already', async () => {
    const template = releaseTemplate(await account.stacks.templateOf(stackName));
    const artifacts = await keepArtifacts(outputs['ServerlessDeploymentBucketName']!);
    await removeStack({ stage, env: account.env });

    await expect(account.stacks.statusOf(stackName)).rejects.toThrow('does not exist');
    await expect(account.invoke(outputs['CaptureFunctionName']!, {})).rejects.toThrow('not found');
    await s3As().send(new HeadBucketCommand({ Bucket: outputs['DumpBucketName']! }));

    const given = await givenParts(account);
    const parameters = { ...given, ...artifacts, AllowPlainHttp: 'true' };
    expect(await account.stacks.create('given', template, parameters)).toBe('CREATE_COMPLETE');

    const other = await account.outputsOf('given');
    expect(other).toMatchObject({
      DumpBucketName: given.BucketName,
      SignalBusName: given.EventBusName,
      AlarmTopicArn: given.AlarmTopicArn,
      DataKeyArn: given.DataKeyArn,
    });
    const events = new EventBridgeClient(account);
    const kind = { Source: 'heapcatch', DetailType: 'heapcatch Signal' };
    const Detail = JSON.stringify(signal('by-given-bus'));
    await events.send(
      new PutEventsCommand({ Entries: [{ EventBusName: given.EventBusName, ...kind, Detail }] }),
    );
    await askedFor('by-given-bus');
  }, 90_000);
});
