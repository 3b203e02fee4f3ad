import { findStacks, readStackOutputs } from '../aws/stack-outputs.ts';
import { createS3ObjectStore } from '../aws/s3-object-store.ts';
import { CaptureError } from '../errors.ts';
import { readPlaceOrder, stackOutputsOf, type Place, type PlaceOrder } from './place.ts';
import { useProfile } from './use-profile.ts';

type Env = Record<string, string | undefined>;

/**
 * The place in AWS that options and environment name. Profile and region are put into the environment: there every
 * client finds them, in the order that people know from AWS's own programs.
 * @throws CaptureError InvalidConfiguration: no such stack, none at all, or several and none is named.
 */
export async function openAwsPlace(values: PlaceOrder, env: Env): Promise<Place> {
  const order = readPlaceOrder(values, env);
  if (order.region !== undefined) env['AWS_REGION'] = order.region;
  useProfile(order.profile, env);
  const endpointUrl = env['AWS_ENDPOINT_URL'];
  const endpoint = endpointUrl ? { endpoint: endpointUrl } : {};
  const outputs = order.bucket === undefined ? await stackOf(order, endpoint) : undefined;
  const bucketName = order.bucket ?? outputs?.bucketName ?? '';
  return {
    bucketName,
    objects: createS3ObjectStore({ bucketName, ...endpoint }),
    dataKeys: {
      decrypt: async (encryption) =>
        (await import('../aws/kms-data-keys.ts')).decryptDataKey(encryption, endpoint),
    },
    claims: outputs && (await claimsOf(outputs.tableName, endpoint)),
    invokeCapture: async (payload) => {
      if (outputs === undefined) {
        const message = 'only a bucket is known: name the stack by --stack or HEAPCATCH_STACK';
        throw new CaptureError('InvalidConfiguration', message);
      }
      const { invokeFunction } = await import('../aws/function-invoker.ts');
      return invokeFunction(outputs.captureFunctionName, payload, endpoint);
    },
  };
}

async function stackOf({ stack }: PlaceOrder, endpoint: { endpoint?: string }) {
  if (stack !== undefined) return stackOutputsOf(stack, await readStackOutputs(stack, endpoint));
  const found = await findStacks('CaptureFunctionName', endpoint);
  const [only, ...others] = found;
  if (only !== undefined && others.length === 0) return stackOutputsOf(only.name, only.outputs);
  const what =
    only === undefined
      ? 'no stack of heapcatch is in this account and region'
      : `${found.length} stacks of heapcatch are in this account and region (${found.map(({ name }) => name).join(', ')})`;
  throw new CaptureError(
    'InvalidConfiguration',
    `${what}: name one by --stack or HEAPCATCH_STACK, a bucket by --bucket, or another place by --profile and --region`,
  );
}

async function claimsOf(
  tableName: string,
  endpoint: { endpoint?: string },
): Promise<Place['claims']> {
  const { createDynamoDbClaimStore } = await import('../aws/dynamodb-claim-store.ts');
  const { createDynamoDbClient } = await import('../aws/dynamodb-client.ts');
  return createDynamoDbClaimStore({ client: createDynamoDbClient(endpoint), tableName });
}
