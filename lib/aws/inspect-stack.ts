import { DescribeTableCommand } from '@aws-sdk/client-dynamodb';
import { GetFunctionConfigurationCommand, LambdaClient } from '@aws-sdk/client-lambda';
import { GetBucketEncryptionCommand, GetPublicAccessBlockCommand } from '@aws-sdk/client-s3';
import { GetQueueAttributesCommand, ReceiveMessageCommand, SQSClient } from '@aws-sdk/client-sqs';
import { boundedCalls } from './bounded-calls.ts';
import { regionOf, signingCredentialsOf, type AwsPlace } from './cluster-credentials.ts';
import { createDynamoDbClient } from './dynamodb-client.ts';
import { presignCallerIdentity } from './eks-token.ts';
import { createS3Client } from './s3-call.ts';

// What `heapcatch doctor` looks at in AWS. Every function changes nothing, asks once or a few times within seconds, and throws what
// the SDK throws: its name is the service's code.

const bounds = boundedCalls({ connectionTimeout: 2_000, requestTimeout: 8_000, attemptCount: 2 });

/** Whose credentials these are. @throws Error when there are none, or AWS does not take them. */
export async function readCaller(place: AwsPlace): Promise<{ arn: string; region: string }> {
  const region = await regionOf(place);
  const credentials = await signingCredentialsOf(place)();
  const { endpoint } = place;
  const url = presignCallerIdentity(credentials, {
    ...{ region, now: new Date() },
    ...(endpoint === undefined ? {} : { endpoint }),
  });
  const reply = await fetch(url, { signal: AbortSignal.timeout(8_000) });
  const text = (await reply.text()).slice(0, 10_000);
  const arn = /<Arn>([^<]{1,2048})<\/Arn>/.exec(text)?.[1];
  if (reply.ok && arn !== undefined) return { arn, region };
  const code = /<Code>([^<]{1,200})<\/Code>/.exec(text)?.[1] ?? `HTTP ${reply.status}`;
  throw new Error(`AWS does not take the credentials: ${code}`);
}

export interface BucketState {
  /** `aws:kms`, `AES256`, or as S3 says; `undefined` without any. */
  readonly encryption: string | undefined;
  readonly publicAccessBlocked: boolean;
}

export async function inspectBucket(bucketName: string, place: AwsPlace): Promise<BucketState> {
  const client = createS3Client(place);
  const Bucket = bucketName;
  try {
    const encrypted = await client
      .send(new GetBucketEncryptionCommand({ Bucket }))
      .catch(absent('ServerSideEncryptionConfigurationNotFoundError'));
    const blocked = await client
      .send(new GetPublicAccessBlockCommand({ Bucket }))
      .catch(absent('NoSuchPublicAccessBlockConfiguration'));
    const [rule] = encrypted?.ServerSideEncryptionConfiguration?.Rules ?? [];
    const block = blocked?.PublicAccessBlockConfiguration ?? {};
    return {
      encryption: rule?.ApplyServerSideEncryptionByDefault?.SSEAlgorithm,
      publicAccessBlocked: [
        block.BlockPublicAcls,
        block.BlockPublicPolicy,
        block.IgnorePublicAcls,
        block.RestrictPublicBuckets,
      ].every((one) => one === true),
    };
  } finally {
    client.destroy();
  }
}

export interface TableState {
  readonly status: string;
  readonly indexNames: readonly string[];
}

export async function inspectTable(tableName: string, place: AwsPlace): Promise<TableState> {
  const client = createDynamoDbClient(place);
  try {
    const { Table } = await client.send(new DescribeTableCommand({ TableName: tableName }));
    const indexNames = (Table?.GlobalSecondaryIndexes ?? []).map((one) => one.IndexName ?? '');
    return { status: Table?.TableStatus ?? 'unknown', indexNames };
  } finally {
    client.destroy();
  }
}

export interface FunctionState {
  readonly state: string;
  readonly lastUpdateStatus: string;
  readonly agentImage: string | undefined;
}

export async function inspectFunction(
  functionName: string,
  place: AwsPlace,
): Promise<FunctionState> {
  const client = new LambdaClient({ ...place, ...bounds });
  try {
    const found = await client.send(
      new GetFunctionConfigurationCommand({ FunctionName: functionName }),
    );
    return {
      state: found.State ?? 'Active',
      lastUpdateStatus: found.LastUpdateStatus ?? 'Successful',
      agentImage: found.Environment?.Variables?.['AGENT_IMAGE'] || undefined,
    };
  } finally {
    client.destroy();
  }
}

export interface QueueState {
  readonly waitingCount: number;
  /** The body and the attributes of one that waits; it stays in the queue. */
  readonly sample?: {
    readonly body: string;
    readonly attributes: Readonly<Record<string, string>>;
  };
}

export async function inspectQueue(queueUrl: string, place: AwsPlace): Promise<QueueState> {
  const client = new SQSClient({ ...place, ...bounds, useQueueUrlAsEndpoint: false });
  const queue = { QueueUrl: queueUrl };
  try {
    const { Attributes } = await client.send(
      new GetQueueAttributesCommand({
        ...queue,
        AttributeNames: ['ApproximateNumberOfMessages'],
      }),
    );
    const waitingCount = Number(Attributes?.['ApproximateNumberOfMessages'] ?? 0);
    if (waitingCount === 0) return { waitingCount };
    const { Messages } = await client.send(
      new ReceiveMessageCommand({
        ...queue,
        ...{ MaxNumberOfMessages: 1, VisibilityTimeout: 0, WaitTimeSeconds: 0 },
        MessageAttributeNames: ['All'],
      }),
    );
    const [message] = Messages ?? [];
    if (message === undefined) return { waitingCount };
    const attributes = Object.fromEntries(
      Object.entries(message.MessageAttributes ?? {}).map(([name, value]) => [
        name,
        value.StringValue ?? '',
      ]),
    );
    return { waitingCount, sample: { body: message.Body ?? '', attributes } };
  } finally {
    client.destroy();
  }
}

/** Turns one answer, by its code, into nothing. */
function absent(code: string): (error: unknown) => undefined {
  return (error) => {
    if (error instanceof Error && error.name === code) return undefined;
    throw error;
  };
}
