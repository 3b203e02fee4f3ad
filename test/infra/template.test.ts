import { beforeAll, describe, expect, it } from '@jest/globals';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { releaseTemplate } from '../../infra/cloudformation/release-template.ts';
import {
  actionsOfCalls,
  actionsOfCommands,
  commandsIn,
  methodsOf,
  portCallsOf,
  reachedFiles,
} from './aws-calls.ts';
import { differs, placesOf, type Statement } from './places.ts';

const project = path.resolve(import.meta.dirname, '../..');

interface Resource {
  Type: string;
  DeletionPolicy?: string;
  Properties: Record<string, unknown>;
}

let resources: Record<string, Resource>;
let conditions: Record<string, unknown> | undefined;
let parameters: Record<string, { Default: unknown }>;

/** `serverless package` without an account, credentials or a network. */
beforeAll(() => {
  const folder = mkdtempSync(path.join(tmpdir(), 'heapcatch-package-'));
  const build = `.esbuild/package-${process.pid}`;
  try {
    execFileSync(
      process.execPath,
      [path.join(project, 'node_modules/.bin/serverless'), 'package', '--package', folder],
      {
        cwd: project,
        env: {
          PATH: process.env['PATH'],
          HOME: folder,
          CI: '1',
          // Half of its work is to compile itself.
          NODE_COMPILE_CACHE: path.join(project, '.jest-cache/serverless'),
          HEAPCATCH_BUILD_FOLDER: build,
          SLS_TELEMETRY_DISABLED: '1',
        },
        stdio: ['ignore', 'ignore', 'pipe'],
      },
    );
    const file = path.join(folder, 'cloudformation-template-update-stack.json');
    const template = JSON.parse(readFileSync(file, 'utf8')) as {
      Resources: Record<string, Resource>;
      Conditions: Record<string, unknown>;
      Parameters: Record<string, { Default: unknown }>;
    };
    resources = template.Resources;
    conditions = template.Conditions;
    parameters = template.Parameters;
  } finally {
    rmSync(folder, { recursive: true, force: true });
    rmSync(path.join(project, build), { recursive: true, force: true });
  }
}, 120_000);

const ofType = (type: string): [string, Resource][] =>
  Object.entries(resources).filter(([, resource]) => resource.Type === type);

const array = <T>(value: T | T[]): T[] => (Array.isArray(value) ? value : [value]);

function variablesOf(properties: Record<string, unknown>): object {
  return (properties['Environment'] as { Variables?: object } | undefined)?.Variables ?? {};
}

/** With those that a condition brings. */
function statements(document: unknown): Statement[] {
  const found = (document as { Statement: (Statement | { 'Fn::If': unknown[] })[] }).Statement;
  return found.flatMap((one) =>
    'Fn::If' in one ? one['Fn::If'].slice(1).filter(isStatement) : [one],
  );
}

function isStatement(value: unknown): value is Statement {
  return typeof value === 'object' && value !== null && 'Action' in value;
}

interface Grant {
  role: string;
  action: string;
  places: string[];
}

/** What roles and policies allow, one entry for each action of each, in the words of the page. */
function grants(): Grant[] {
  const documents = [
    ...ofType('AWS::IAM::Role').flatMap(([name, { Properties }]) =>
      (Properties['Policies'] as { PolicyDocument: unknown }[]).map((policy) => ({
        role: name,
        document: policy.PolicyDocument,
      })),
    ),
    ...[...ofType('AWS::IAM::ManagedPolicy'), ...ofType('AWS::IAM::Policy')].map(
      ([name, { Properties }]) => ({ role: name, document: Properties['PolicyDocument'] }),
    ),
  ];
  const found = new Map<string, Grant>();
  for (const { role, document } of documents) {
    for (const statement of statements(document).filter(({ Effect }) => Effect === 'Allow')) {
      for (const action of array(statement.Action)) {
        const key = `${role} ${action}`;
        const grant = found.get(key) ?? { role, action, places: [] };
        grant.places = [...new Set([...grant.places, ...placesOf(statement)])];
        found.set(key, grant);
      }
    }
  }
  return [...found.values()];
}

const grantedActions = (): string[] =>
  grants()
    .map(({ role, action }) => `${role} ${action}`)
    .sort();

function documentedRows(): { role: string; action: string; on: string; why: string }[] {
  const page = readFileSync(path.join(project, 'docs/permissions.md'), 'utf8');
  const row = /^\| (\w+) \| `([a-z0-9]+:\w+)` \| (.+?) \| (.*?) \|$/gm;
  return [...page.matchAll(row)].map(([, role, action, on, why]) => ({
    role: role!,
    action: action!,
    on: on!,
    why: why!,
  }));
}

/** What Lambda, or S3 and DynamoDB with the stack's key, need of a role besides what our code asks for. */
const withoutACall = new Set([
  'logs:CreateLogStream',
  'logs:PutLogEvents',
  'sqs:SendMessage',
  'kms:GenerateDataKey',
  'kms:Decrypt',
  's3:ListBucket',
]);

describe('the synthesized template', () => {
  it('grants exactly the actions that docs/permissions.md lists', () => {
    const documented = documentedRows().map(({ role, action }) => `${role} ${action}`);
    expect(grantedActions()).toEqual(documented.sort());
    expect(grantedActions().length).toBeGreaterThan(30);
  });

  it('grants each where docs/permissions.md says, and that says why', () => {
    const rows = new Map(documentedRows().map((row) => [`${row.role} ${row.action}`, row]));
    const wrong = grants().flatMap(({ role, action, places }) => {
      const row = rows.get(`${role} ${action}`);
      const { lacks, tooMuch } = differs(row?.on ?? '', places);
      const holds = lacks.length === 0 && tooMuch === '' && row?.why !== '';
      return holds ? [] : [{ role, action, lacks, tooMuch, why: row?.why }];
    });
    expect(wrong).toEqual([]);
  });

  it.each(['capture', 'seal', 'sweep'])(
    'grants %s what its code calls, and nothing that it does not',
    (name) => {
      const role = `${name.slice(0, 1).toUpperCase()}${name.slice(1)}Role`;
      const granted = grants().filter((grant) => grant.role === role);
      const called = new Set(portCallsOf(name).flatMap((call) => actionsOfCalls[call]!));
      // The way into the clusters is no port's: every function takes it, through lib/aws.
      called.add('ssm:GetParameter');
      const wayIn = granted.filter(({ action }) =>
        ['secretsmanager:GetSecretValue', 'ssm:GetParametersByPath'].includes(action),
      );
      for (const { action } of wayIn) called.add(action);

      expect(
        [...called].filter((action) => !granted.some((grant) => grant.action === action)),
      ).toEqual([]);
      expect(
        granted
          .map(({ action }) => action)
          .filter((action) => !called.has(action) && !withoutACall.has(action)),
      ).toEqual([]);
    },
  );

  it('knows every method of the ports, and every call of the SDK that the functions can make', () => {
    const ports = {
      ObjectStore: 'capture/ports',
      DataKeys: 'capture/ports',
      ClaimStore: 'claim/claim-store',
    };
    const methods = Object.entries(ports).flatMap(([port, file]) =>
      methodsOf(port, `lib/${file}.ts`).map((method) => `${port}.${method}`),
    );
    expect(methods.sort()).toEqual(Object.keys(actionsOfCalls).sort());

    const files = ['capture', 'seal', 'sweep'].flatMap((name) =>
      reachedFiles(`functions/${name}.ts`),
    );
    // The CLI registers a cluster by the same module.
    const made = commandsIn(files).filter(
      (name) => !['PutParameter', 'DeleteParameter'].includes(name),
    );
    expect(made.filter((name) => actionsOfCommands[name] === undefined)).toEqual([]);
    const granted = new Set(grants().map(({ action }) => action));
    const asked = made.flatMap((name) => actionsOfCommands[name]!);
    expect(asked.filter((action) => !granted.has(action))).toEqual([]);
  });

  it('lets the forwarder do what it calls', () => {
    const made = commandsIn(reachedFiles('lib/forwarder/main.ts'));
    const granted = grants().filter(({ role }) => role === 'ForwarderPolicy');
    expect(made.flatMap((name) => actionsOfCommands[name]!)).toEqual(
      granted.map(({ action }) => action),
    );
  });

  it('lets the reader read, and no role in the cluster or of a function read a dump as a whole but the finishers', () => {
    const readers = grants().filter(
      ({ action, places }) => action === 's3:GetObject' && places.includes('`dumps/*`'),
    );
    expect(readers.map(({ role }) => role).sort()).toEqual([
      'DumpReaderRole',
      'SealRole',
      'SweepRole',
    ]);
    const reader = grants().filter(({ role }) => role === 'DumpReaderRole');
    expect(reader.map(({ action }) => action).sort()).toEqual([
      'kms:Decrypt',
      's3:GetObject',
      's3:ListBucket',
    ]);
    const policy = JSON.stringify(resources['DumpBucketPolicy']!.Properties);
    expect(policy).toContain('"Sid":"OnlyReadersRead","Effect":"Deny"');
    expect(conditions?.['OnlyReadersRead']).toEqual({
      'Fn::Equals': [{ Ref: 'ReadersOnly' }, 'true'],
    });
  });

  it('lets capture read nothing of a dump but how far it is', () => {
    const policies = resources['CaptureRole']!.Properties['Policies'] as {
      PolicyDocument: unknown;
    }[];
    const readable = policies
      .flatMap(({ PolicyDocument }) => statements(PolicyDocument))
      .filter(({ Action }) => array(Action).includes('s3:GetObject'))
      .flatMap(({ Resource }) => array(Resource).map((one) => JSON.stringify(one)));

    expect(readable.filter((one) => one.includes('/dumps/'))).toEqual([
      expect.stringContaining('/dumps/*/progress.json'),
    ]);
  });

  it('lets capture make data keys with the encryption key, and nobody decrypt with it', () => {
    const onEncryptionKey = ofType('AWS::IAM::Role').flatMap(([name, role]) =>
      (role.Properties['Policies'] as { PolicyDocument: unknown }[])
        .flatMap(({ PolicyDocument }) => statements(PolicyDocument))
        .filter(({ Resource }) => JSON.stringify(Resource).includes('EncryptionKeyGiven'))
        .map(({ Action }) => [name, Action]),
    );

    expect(onEncryptionKey).toEqual([['CaptureRole', ['kms:GenerateDataKey']]]);
    expect(conditions?.['EncryptionKeyGiven']).toEqual({
      'Fn::Not': [{ 'Fn::Equals': [{ Ref: 'EncryptionKeyArn' }, ''] }],
    });
  });

  it('grants nothing by wildcard but the streams of its own logs and the objects of its own prefixes', () => {
    for (const [, role] of ofType('AWS::IAM::Role')) {
      for (const policy of role.Properties['Policies'] as { PolicyDocument: unknown }[]) {
        for (const statement of statements(policy.PolicyDocument)) {
          expect(array(statement.Action).filter((action) => action.includes('*'))).toEqual([]);
          if (statement.Effect === 'Allow') expect(array(statement.Resource)).not.toContain('*');
        }
      }
    }
  });

  it('has three functions on Node 24 and arm64, each with a role of its own and a dead-letter queue', () => {
    const functions = ofType('AWS::Lambda::Function');
    expect(functions.map(([name]) => name).sort()).toEqual([
      'CaptureLambdaFunction',
      'SealLambdaFunction',
      'SweepLambdaFunction',
    ]);
    for (const [, resource] of functions) {
      expect(resource.Properties).toMatchObject({
        Runtime: 'nodejs24.x',
        Architectures: ['arm64'],
      });
    }
    const roles = functions.map(([, resource]) => JSON.stringify(resource.Properties['Role']));
    expect(new Set(roles).size).toBe(3);
    const destinations = ofType('AWS::Lambda::EventInvokeConfig').map(([, config]) =>
      JSON.stringify(config.Properties['DestinationConfig']),
    );
    expect(destinations.filter((destination) => destination.includes('DeadLetters'))).toHaveLength(
      3,
    );
  });

  it('tells both functions that presign URLs for pods where pods reach S3', () => {
    const told = ofType('AWS::Lambda::Function').filter(
      ([, { Properties }]) => 'PUBLIC_S3_ENDPOINT' in variablesOf(Properties),
    );

    expect(told.map(([name]) => name).sort()).toEqual([
      'CaptureLambdaFunction',
      'SweepLambdaFunction',
    ]);
  });

  it('gives every rule a retry policy and a dead-letter queue', () => {
    const rules = ofType('AWS::Events::Rule');
    expect(rules).toHaveLength(3);
    for (const [, rule] of rules) {
      for (const target of rule.Properties['Targets'] as Record<string, unknown>[]) {
        expect(target).toMatchObject({
          RetryPolicy: { MaximumRetryAttempts: expect.any(Number) },
          DeadLetterConfig: { Arn: expect.anything() },
        });
      }
    }
  });

  it('keeps the bucket private, encrypted, TLS only, and clears what nobody finished', () => {
    const bucket = resources['DumpBucket']!;
    expect(bucket.DeletionPolicy).toBe('Retain');
    expect(bucket.Properties['PublicAccessBlockConfiguration']).toEqual({
      BlockPublicAcls: true,
      BlockPublicPolicy: true,
      IgnorePublicAcls: true,
      RestrictPublicBuckets: true,
    });
    expect(JSON.stringify(bucket.Properties['BucketEncryption'])).toContain('aws:kms');
    expect(JSON.stringify(bucket.Properties['LifecycleConfiguration'])).toContain(
      'AbortIncompleteMultipartUpload',
    );
    const policy = JSON.stringify(resources['DumpBucketPolicy']!.Properties);
    expect(policy).toContain('aws:SecureTransport');
    expect(conditions?.['TlsOnly']).toEqual({
      'Fn::Not': [{ 'Fn::Equals': [{ Ref: 'AllowPlainHttp' }, 'true'] }],
    });
  });

  it('has the claim table that lib/claim defines', async () => {
    const { claimTableDefinition } = await import('../../lib/claim/claim-items.ts');
    const table = resources['ClaimTable']!.Properties;
    expect(table['KeySchema']).toEqual(claimTableDefinition.KeySchema);
    expect(table['AttributeDefinitions']).toEqual(
      expect.arrayContaining([...claimTableDefinition.AttributeDefinitions]),
    );
    expect(table['GlobalSecondaryIndexes']).toEqual(claimTableDefinition.GlobalSecondaryIndexes);
    expect(table['TimeToLiveSpecification']).toMatchObject({
      AttributeName: 'expireTimeEpochSeconds',
    });
  });

  it('is what the Terraform module deploys: the same parameters, the same defaults', () => {
    const read = (name: string): string =>
      readFileSync(path.join(project, 'infra/terraform', name), 'utf8');
    const main = read('main.tf');
    const block = main.slice(
      main.indexOf('parameters = {'),
      main.indexOf('\n  }', main.indexOf('parameters = {')),
    );
    const given = new Map(
      [...block.matchAll(/^ {4}(\w+) += (.+)$/gm)].map(([, name, value]) => [name!, value!]),
    );
    const released = releaseTemplate({ Resources: resources, Parameters: parameters });
    expect([...given.keys()].sort()).toEqual(Object.keys(released.Parameters).sort());

    const variables = new Map(
      [...read('variables.tf').matchAll(/^variable "(\w+)" \{\n([\s\S]*?)^\}/gm)].map(
        ([, name, body]) => [name!, /default += (.+)$/m.exec(body!)?.[1]],
      ),
    );
    const plain = new Map([
      ['""', ''],
      ['[]', ''],
    ]);
    for (const [name, { Default }] of Object.entries(parameters)) {
      const variable = /var\.(\w+)/.exec(given.get(name)!)![1]!;
      const told = String(variables.get(variable));
      expect([name, plain.get(told) ?? told.replaceAll('"', '')]).toEqual([name, String(Default)]);
    }
  });

  it('has a runbook for every alarm, and none for another', () => {
    const page = readFileSync(path.join(project, 'docs/operations.md'), 'utf8');
    const told = [...page.matchAll(/^### (\w+Alarm.*)$/gm)].flatMap(([, names]) =>
      names!.split(', '),
    );

    expect(told.sort()).toEqual(
      ofType('AWS::CloudWatch::Alarm')
        .map(([name]) => name)
        .sort(),
    );
  });

  it('draws and watches metrics that the functions write, by dimensions that they have', async () => {
    const source = readFileSync(path.join(project, 'lib/capture/capture-metrics.ts'), 'utf8');
    const metrics = [...source.matchAll(/^ {6}(\w+): \{ value/gm)].map(([, name]) => name!);
    const sets = [...source.matchAll(/\[('stage'[^\]]*)\]/g)].map(([, set]) =>
      set!.replace(/[' ]/g, ''),
    );
    const { metricNamespace } = await import('../../lib/metric-fields.ts');
    const body = (resources['Dashboard']!.Properties['DashboardBody'] as { 'Fn::Sub': string })[
      'Fn::Sub'
    ];

    const drawn = JSON.parse(body) as { widgets: unknown[] };
    expect(drawn.widgets.length).toBeGreaterThan(5);
    const searched = [
      ...body.matchAll(/SEARCH\('\{(\w+),([\w,]+)\} stage=\\"dev\\" MetricName=\\"(\w+)\\"/g),
    ];
    const named = [...body.matchAll(/\["heapcatch", "(\w+)", "stage", "dev"/g)].map(
      ([, name]) => name!,
    );
    expect(searched).toHaveLength(2);
    for (const [, namespace, set, metric] of searched) {
      expect([namespace, sets.includes(set!), metrics.includes(metric!)]).toEqual([
        metricNamespace,
        true,
        true,
      ]);
    }
    expect(named.length).toBeGreaterThan(3);
    expect(named.filter((name) => !metrics.includes(name))).toEqual([]);
    const alarms = ofType('AWS::CloudWatch::Alarm').filter(
      ([, { Properties }]) => Properties['Namespace'] === metricNamespace,
    );
    expect(alarms).toHaveLength(2);
    for (const [, { Properties }] of alarms) {
      const set = (Properties['Dimensions'] as { Name: string }[])
        .map(({ Name }) => Name)
        .join(',');
      expect([metrics.includes(String(Properties['MetricName'])), sets.includes(set)]).toEqual([
        true,
        true,
      ]);
    }
  });

  it('raises an alarm for every dead-letter queue and for errors of every function', () => {
    const metrics = ofType('AWS::CloudWatch::Alarm').map(
      ([, alarm]) => alarm.Properties['MetricName'],
    );
    expect(metrics.filter((metric) => metric === 'Errors')).toHaveLength(3);
    expect(
      metrics.filter((metric) => metric === 'ApproximateNumberOfMessagesVisible'),
    ).toHaveLength(3);
  });
});
