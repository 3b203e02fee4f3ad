import { randomUUID } from 'node:crypto';
import type { LockCondition } from '../claim/claim-conditions.ts';
import type { ClaimStore } from '../claim/claim-store.ts';
import { createTableClaimStore } from '../claim/table-claim-store.ts';
import { createDynamoDbItemTable, type DynamoDbTableOptions } from './dynamodb-item-table.ts';

/**
 * The claim store on a DynamoDB table of claimTableDefinition. Its actions: BatchGetItem for every read,
 * PutItem and DeleteItem in transactions, ConditionCheckItem for markStarted, Query on the index for
 * listOverdue.
 */
export function createDynamoDbClaimStore(
  options: DynamoDbTableOptions & {
    /** For the tests' negative control alone. */
    lockCondition?: LockCondition;
  },
): ClaimStore {
  const { lockCondition } = options;
  return createTableClaimStore(createDynamoDbItemTable(options), {
    newNonce: randomUUID,
    ...(lockCondition === undefined ? {} : { lockCondition }),
  });
}
