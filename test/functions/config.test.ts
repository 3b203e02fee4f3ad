import { readFileSync } from 'node:fs';
import { describe, expect, it } from '@jest/globals';
import { readFunctionConfig } from '../../functions/config.ts';
import { startMillis } from '../../functions/capture.ts';
import { deadClaimSeconds } from '../../lib/capture/release-claim.ts';
import { CaptureError } from '../../lib/errors.ts';

const env = {
  TABLE_NAME: 'claims',
  BUCKET_NAME: 'heapcatch-dumps',
  CLUSTER_PARAMETER_PREFIX: '/heapcatch/dev/clusters',
};

function faultOf(changes: Record<string, string>): CaptureError {
  try {
    readFunctionConfig({ ...env, ...changes });
  } catch (error) {
    if (error instanceof CaptureError) return error;
  }
  throw new Error('no fault');
}

describe('readFunctionConfig', () => {
  it('fills in what the image and the manifests use', () => {
    expect(readFunctionConfig(env)).toEqual({
      stage: 'dev',
      tableName: 'claims',
      bucketName: 'heapcatch-dumps',
      clusterParameterPrefix: '/heapcatch/dev/clusters',
      agentNamespace: 'heapcatch',
      agentCommand: ['/heapcatch/agent', 'start'],
      retention: { maxDays: 90 },
    });
  });

  it('takes an empty variable for an absent one', () => {
    const empty = { AGENT_IMAGE: '', AGENT_COMMAND: ' ', PUBLIC_S3_ENDPOINT: '' };

    expect(readFunctionConfig({ ...env, ...empty })).toEqual(readFunctionConfig(env));
  });

  it('reads everything that can be said', () => {
    const config = readFunctionConfig({
      ...env,
      DEFAULT_CLUSTER_NAME: 'prod',
      AGENT_IMAGE: 'registry.example:5000/heapcatch@sha256:00',
      AGENT_NAMESPACE: 'agents',
      AGENT_COMMAND: '["node","agent.mjs","start"]',
      PUBLIC_S3_ENDPOINT: 'http://10.0.0.1:4566',
      ENCRYPTION_KEY_ARN: 'arn:aws:kms:eu-central-1:123456789012:key/1234-abcd',
      AWS_ENDPOINT_URL: 'http://127.0.0.1:4566',
      RETENTION_DAYS: '365',
      DEFAULT_RETENTION_DAYS: '30',
    });

    expect(config).toMatchObject({
      defaultClusterName: 'prod',
      agentImage: 'registry.example:5000/heapcatch@sha256:00',
      agentNamespace: 'agents',
      agentCommand: ['node', 'agent.mjs', 'start'],
      publicS3Endpoint: 'http://10.0.0.1:4566',
      encryptionKeyArn: 'arn:aws:kms:eu-central-1:123456789012:key/1234-abcd',
      awsEndpoint: 'http://127.0.0.1:4566',
      retention: { maxDays: 365, defaultDays: 30 },
    });
  });

  it('names every faulty variable at once, with its value and what is accepted', () => {
    const fault = faultOf({
      TABLE_NAME: '',
      BUCKET_NAME: 'UPPER',
      AGENT_COMMAND: '{"a":1}',
      PUBLIC_S3_ENDPOINT: 'ftp://x',
      ENCRYPTION_KEY_ARN: 'alias/dumps',
    });

    expect(fault).toMatchObject({ code: 'InvalidConfiguration', retryable: false });
    expect(fault.message).toContain('TABLE_NAME is not set, accepted is a DynamoDB table');
    expect(fault.message).toContain('BUCKET_NAME is "UPPER", accepted is a bucket');
    expect(fault.message).toContain('AGENT_COMMAND is "{\\"a\\":1}", accepted is a JSON array');
    expect(fault.message).toContain('PUBLIC_S3_ENDPOINT is "ftp://x"');
    expect(fault.message).toContain('ENCRYPTION_KEY_ARN is "alias/dumps"');
  });

  it.each(['[]', '[1]', '[""]', 'start', '"start"'])('refuses the command %s', (text) => {
    expect(faultOf({ AGENT_COMMAND: text }).message).toContain('AGENT_COMMAND');
  });
});

describe('the deployment', () => {
  it('has an agent started, or not, well before the claim counts as that of a dead run', () => {
    const [, timeout] =
      /^ {2}capture:\n(?: {4}.*\n)*? {4}timeout: (\d+)$/m.exec(
        readFileSync('serverless.yml', 'utf8'),
      ) ?? [];

    expect(startMillis / 1_000 + 30).toBeLessThanOrEqual(deadClaimSeconds);
    // The longest that Lambda allows.
    expect(Number(timeout)).toBeGreaterThan(startMillis / 1_000);
    expect(Number(timeout)).toBeLessThanOrEqual(900);
  });
});
