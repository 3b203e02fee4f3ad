import { PutObjectCommand, S3Client } from '@aws-sdk/client-s3';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { zipOf } from './zip.ts';
import type { Account, Template } from './account.ts';

/** The template that `serverless package --stage dev` made of the release; the prefix of its code's keys was shortened. */
const fixture = path.join(import.meta.dirname, 'fixtures/release-0.1.0.template.json');

/** Deploys the previous release as the serverless program does it: its bucket, the code, then the rest. Its outputs. */
export async function previousRelease(
  account: Account,
  stackName: string,
): Promise<Readonly<Record<string, string>>> {
  const template = JSON.parse(readFileSync(fixture, 'utf8')) as Template;
  const { ServerlessDeploymentBucket } = template.Resources;
  const first = {
    Resources: { ServerlessDeploymentBucket: ServerlessDeploymentBucket! },
    Outputs: { ServerlessDeploymentBucketName: { Value: { Ref: 'ServerlessDeploymentBucket' } } },
  };
  const created = await account.stacks.create(stackName, first);
  if (created !== 'CREATE_COMPLETE') throw new Error(`the bucket's stack ended as ${created}`);
  const { ServerlessDeploymentBucketName } = await account.outputsOf(stackName);
  const s3 = new S3Client({
    region: account.region,
    endpoint: account.endpoint,
    forcePathStyle: true,
  });
  for (const key of JSON.stringify(template).match(/serverless\/[\w./-]+\.zip/g) ?? []) {
    const name = path.basename(key, '.zip');
    const code = `export const handler = async () => ({ release: 'previous' });`;
    const Body = zipOf({ [`functions/${name}.mjs`]: code });
    await s3.send(
      new PutObjectCommand({ Bucket: ServerlessDeploymentBucketName!, Key: key, Body }),
    );
  }
  const updated = await account.stacks.update(stackName, template);
  if (updated !== 'UPDATE_COMPLETE') throw new Error(`the previous release ended as ${updated}`);
  return account.outputsOf(stackName);
}
