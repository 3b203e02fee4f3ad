import { DynamoDBClient } from '@aws-sdk/client-dynamodb';
import { boundedCalls } from './bounded-calls.ts';

/**
 * A client with every wait written out: an attempt takes at most 4 s (1 s to connect, 3 s for the reply),
 * a call at most three attempts. Region and credentials come from the environment unless given.
 */
export function createDynamoDbClient(
  options: { region?: string; endpoint?: string } = {},
): DynamoDBClient {
  return new DynamoDBClient({
    ...options,
    ...boundedCalls({ connectionTimeout: 1_000, requestTimeout: 3_000, attemptCount: 3 }),
  });
}
