import { DynamoDBClient } from '@aws-sdk/client-dynamodb';

/**
 * A client with every wait written out: an attempt takes at most 4 s (1 s to connect, 3 s for the reply),
 * a call at most three attempts. Region and credentials come from the environment unless given.
 */
export function createDynamoDbClient(
  options: { region?: string; endpoint?: string } = {},
): DynamoDBClient {
  return new DynamoDBClient({
    ...options,
    maxAttempts: 3,
    retryMode: 'standard',
    requestHandler: {
      connectionTimeout: 1_000,
      requestTimeout: 3_000,
      // Without this the SDK only warns when the time is over.
      throwOnRequestTimeout: true,
    },
  });
}
