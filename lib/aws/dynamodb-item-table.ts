import { createHash } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import {
  BatchGetItemCommand,
  QueryCommand,
  TransactionCanceledException,
  TransactWriteItemsCommand,
  type AttributeValue,
  type CancellationReason,
  type DynamoDBClient,
  type TransactWriteItem,
} from '@aws-sdk/client-dynamodb';
import { openCapturesIndex } from '../claim/claim-items.ts';
import type { Item } from '../claim/condition.ts';
import type { ItemTable, Write, WriteResult } from '../claim/item-table.ts';
import { CaptureError, messageOf } from '../errors.ts';
import { fromAttributes, toAttributes, toConditionExpression } from './condition-expression.ts';

export interface DynamoDbTableOptions {
  client: DynamoDBClient;
  tableName: string;
  /** Waits between attempts; for tests. */
  wait?: (millis: number) => Promise<unknown>;
}

/**
 * Attempts of one call, on top of the client's own: those are for faults of the way there, these for
 * transactions that met each other and for keys that a batch left out.
 */
const maxAttemptCount = 8;
const firstWaitMillis = 20;
const maxWaitMillis = 500;

/** Reasons of a cancelled transaction that pass by themselves. */
const passingReasons = new Set([
  'TransactionConflict',
  'ThrottlingError',
  'ProvisionedThroughputExceeded',
  'RequestLimitExceeded',
]);
const passingErrors = new Set([
  'ProvisionedThroughputExceededException',
  'ThrottlingException',
  'RequestLimitExceeded',
  'TransactionInProgressException',
]);

/** The claim table in DynamoDB. */
export function createDynamoDbItemTable(options: DynamoDbTableOptions): ItemTable {
  return {
    read: (keys) => readAll(options, keys),
    write: (writes) => transact(options, writes),
    listOpen: (lease, nowMillis, limit) => listOpen(options, lease, nowMillis, limit),
  };
}

async function readAll(
  { client, tableName, wait }: DynamoDbTableOptions,
  keys: readonly string[],
): Promise<ReadonlyMap<string, Item>> {
  const found = new Map<string, Item>();
  let wanted: Record<string, AttributeValue>[] = keys.map((key) => ({ pk: { S: key } }));
  for (let attempt = 0; attempt < maxAttemptCount; attempt += 1) {
    const request = { [tableName]: { Keys: wanted, ConsistentRead: true } };
    const reply = await asked(tableName, () =>
      client.send(new BatchGetItemCommand({ RequestItems: request })),
    );
    for (const attributes of reply.Responses?.[tableName] ?? []) {
      const item = fromAttributes(attributes);
      found.set(item.pk, item);
    }
    wanted = reply.UnprocessedKeys?.[tableName]?.Keys ?? [];
    if (wanted.length === 0) return found;
    await pause(attempt, wait);
  }
  throw unavailable(tableName, `left ${wanted.length} of ${keys.length} keys unread`, true);
}

async function transact(
  { client, tableName, wait }: DynamoDbTableOptions,
  writes: readonly Write[],
): Promise<WriteResult> {
  const items = writes.map((write) => toTransactItem(tableName, write));
  let lastReasons = '';
  for (let attempt = 0; attempt < maxAttemptCount; attempt += 1) {
    // Derived from what is written, so that a caller who asks again after a lost reply meets the
    // transaction that may still be under way, and not a second one.
    const token = createHash('sha256')
      .update(JSON.stringify([items, attempt]))
      .digest('hex');
    const command = new TransactWriteItemsCommand({
      TransactItems: items,
      ClientRequestToken: token.slice(0, 36),
    });
    const reasons = await asked(tableName, () => cancellationOf(client.send(command)));
    if (reasons === undefined) return { outcome: 'written' };
    // A condition that failed is an answer, whatever happened to the other items.
    if (reasons.some(failedCondition)) {
      return { outcome: 'refused', refusals: reasons.map(refusalOf) };
    }
    const codes = reasons.map((reason) => reason.Code ?? 'None').filter((code) => code !== 'None');
    lastReasons = codes.join(', ');
    if (!codes.every((code) => passingReasons.has(code))) {
      throw unavailable(tableName, `refused a transaction: ${lastReasons}`, false);
    }
    await pause(attempt, wait);
  }
  throw unavailable(
    tableName,
    `cancelled a transaction ${maxAttemptCount} times in a row: ${lastReasons}`,
    true,
  );
}

async function listOpen(
  { client, tableName }: DynamoDbTableOptions,
  lease: 'ended' | 'alive',
  nowMillis: number,
  limit: number,
): Promise<readonly Item[]> {
  const items: Item[] = [];
  let from: Record<string, AttributeValue> | undefined;
  do {
    const command = new QueryCommand({
      TableName: tableName,
      IndexName: openCapturesIndex,
      KeyConditionExpression: `#openCapture = :open AND #leaseExpireMillis ${lease === 'ended' ? '<=' : '>'} :now`,
      ExpressionAttributeNames: {
        '#openCapture': 'openCapture',
        '#leaseExpireMillis': 'leaseExpireMillis',
      },
      ExpressionAttributeValues: {
        ':open': { S: 'open' },
        ':now': { N: String(nowMillis) },
      },
      ScanIndexForward: true,
      Limit: limit - items.length,
      ...(from === undefined ? {} : { ExclusiveStartKey: from }),
    });
    const page = await asked(tableName, () => client.send(command));
    const found = page.Items ?? [];
    items.push(...found.map(fromAttributes));
    // Without a filter every page but the last brings something, so the limit bounds the pages.
    from = found.length === 0 ? undefined : page.LastEvaluatedKey;
  } while (from !== undefined && items.length < limit);
  return items;
}

function toTransactItem(tableName: string, write: Write): TransactWriteItem {
  const onFailure = { ReturnValuesOnConditionCheckFailure: 'ALL_OLD' } as const;
  if (write.kind === 'put') {
    const condition =
      write.condition === undefined
        ? {}
        : { ...toConditionExpression(write.condition), ...onFailure };
    return { Put: { TableName: tableName, Item: toAttributes(write.item), ...condition } };
  }
  const step = {
    TableName: tableName,
    Key: { pk: { S: write.pk } },
    ...toConditionExpression(write.condition),
    ...onFailure,
  };
  return write.kind === 'delete' ? { Delete: step } : { ConditionCheck: step };
}

/** The reasons of a cancelled transaction, `undefined` when it was written. */
async function cancellationOf(
  reply: Promise<unknown>,
): Promise<readonly CancellationReason[] | undefined> {
  try {
    await reply;
    return undefined;
  } catch (error) {
    if (error instanceof TransactionCanceledException && error.CancellationReasons !== undefined) {
      return error.CancellationReasons;
    }
    throw error;
  }
}

function failedCondition(reason: CancellationReason): boolean {
  return reason.Code === 'ConditionalCheckFailed';
}

function refusalOf(reason: CancellationReason): { item?: Item } | undefined {
  if (!failedCondition(reason)) return undefined;
  return reason.Item === undefined ? {} : { item: fromAttributes(reason.Item) };
}

async function pause(attempt: number, wait: (millis: number) => Promise<unknown> = delay) {
  const longest = Math.min(maxWaitMillis, firstWaitMillis * 2 ** attempt);
  await wait(longest * (0.5 + Math.random() / 2));
}

async function asked<T>(tableName: string, ask: () => Promise<T>): Promise<T> {
  try {
    return await ask();
  } catch (error) {
    throw unavailable(tableName, `could not be asked: ${messageOf(error)}`, willPass(error), error);
  }
}

/** Throttling, faults of the service, and everything without a reply (timeouts, lost connections). */
function willPass(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  const status = (error as { $metadata?: { httpStatusCode?: number } }).$metadata?.httpStatusCode;
  return passingErrors.has(error.name) || status === undefined || status === 429 || status >= 500;
}

function unavailable(
  tableName: string,
  what: string,
  retryable: boolean,
  cause?: unknown,
): CaptureError {
  return new CaptureError('ClaimStoreUnavailable', `claim table ${tableName} ${what}`, {
    retryable,
    ...(cause === undefined ? {} : { cause }),
  });
}
