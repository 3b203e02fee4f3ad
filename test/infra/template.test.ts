import { beforeAll, describe, expect, it } from '@jest/globals';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';

const project = path.resolve(import.meta.dirname, '../..');

interface Statement {
  Effect: string;
  Action: string | string[];
  Resource: unknown;
}
interface Resource {
  Type: string;
  DeletionPolicy?: string;
  Properties: Record<string, unknown>;
}

let resources: Record<string, Resource>;
let conditions: Record<string, unknown> | undefined;

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
    };
    resources = template.Resources;
    conditions = template.Conditions;
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

function statements(document: unknown): Statement[] {
  return (document as { Statement: Statement[] }).Statement;
}

/** `role action` pairs of every role and managed policy. */
function grantedActions(): string[] {
  const roles = ofType('AWS::IAM::Role').flatMap(([name, role]) =>
    (role.Properties['Policies'] as { PolicyDocument: unknown }[]).flatMap((policy) =>
      statements(policy.PolicyDocument).flatMap((statement) =>
        array(statement.Action).map((action) => `${name} ${action}`),
      ),
    ),
  );
  const policies = ofType('AWS::IAM::ManagedPolicy').flatMap(([name, policy]) =>
    statements(policy.Properties['PolicyDocument']).flatMap((statement) =>
      array(statement.Action).map((action) => `${name} ${action}`),
    ),
  );
  return [...new Set([...roles, ...policies])].sort();
}

function documentedActions(): string[] {
  const page = readFileSync(path.join(project, 'docs/permissions.md'), 'utf8');
  return [...page.matchAll(/^\| (\w+) \| `([a-z0-9]+:\w+)` \|/gm)]
    .map((row) => `${row[1]!} ${row[2]!}`)
    .sort();
}

describe('the synthesized template', () => {
  it('grants exactly the actions that docs/permissions.md lists', () => {
    expect(grantedActions()).toEqual(documentedActions());
    expect(grantedActions().length).toBeGreaterThan(30);
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
      'Fn::Not': [{ 'Fn::Equals': ['', ''] }],
    });
  });

  it('grants nothing by wildcard but the streams of its own logs and the objects of its own prefixes', () => {
    for (const [, role] of ofType('AWS::IAM::Role')) {
      for (const policy of role.Properties['Policies'] as { PolicyDocument: unknown }[]) {
        for (const statement of statements(policy.PolicyDocument)) {
          expect(array(statement.Action).filter((action) => action.includes('*'))).toEqual([]);
          expect(array(statement.Resource)).not.toContain('*');
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
    expect(conditions?.['TlsOnly']).toEqual({ 'Fn::Not': [{ 'Fn::Equals': ['false', 'true'] }] });
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
