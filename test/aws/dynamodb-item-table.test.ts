import { describe, expect, it } from '@jest/globals';
import {
  TransactionCanceledException,
  type BatchGetItemCommand,
  type DynamoDBClient,
  type QueryCommand,
  type TransactWriteItemsCommand,
} from '@aws-sdk/client-dynamodb';
import { createDynamoDbItemTable } from '../../lib/aws/dynamodb-item-table.ts';
import { absent } from '../../lib/claim/condition.ts';

const put = { kind: 'put', item: { pk: 'a' }, condition: absent('pk') } as const;

/** A table behind a client that gives these replies in order, the last one again and again. */
function tableWith(...replies: readonly unknown[]) {
  const commands: unknown[] = [];
  const waits: number[] = [];
  const client = {
    send: (command: unknown) => {
      const reply = replies[Math.min(commands.length, replies.length - 1)];
      commands.push(command);
      return reply instanceof Error ? Promise.reject(reply) : Promise.resolve(reply);
    },
  } as unknown as DynamoDBClient;
  const table = createDynamoDbItemTable({
    client,
    tableName: 'claims',
    wait: (millis) => {
      waits.push(millis);
      return Promise.resolve();
    },
  });
  return { table, commands, waits };
}

function cancelled(...codes: string[]): Error {
  return new TransactionCanceledException({
    message: 'cancelled',
    $metadata: { httpStatusCode: 400 },
    CancellationReasons: codes.map((Code) => ({ Code })),
  });
}

function fault(name: string, httpStatusCode?: number): Error {
  const $metadata = httpStatusCode === undefined ? {} : { httpStatusCode };
  return Object.assign(new Error(`${name} happened`), { name, $metadata });
}

describe('a transaction', () => {
  it('is tried again when it met another one, with longer and longer waits and another token', async () => {
    const conflict = cancelled('TransactionConflict', 'None');
    const { table, commands, waits } = tableWith(conflict, conflict, {});

    expect(await table.write([put])).toEqual({ outcome: 'written' });

    expect(waits).toHaveLength(2);
    expect(waits[0]).toBeLessThanOrEqual(20);
    expect(waits[1]).toBeLessThanOrEqual(40);
    const tokens = commands.map(
      (command) => (command as TransactWriteItemsCommand).input.ClientRequestToken,
    );
    expect(new Set(tokens).size).toBe(3);
    expect(tokens[0]).toHaveLength(36);
  });

  it('carries the same token when the same is asked for again', async () => {
    const { table, commands } = tableWith({});

    await table.write([put]);
    await table.write([put]);
    await table.write([{ ...put, item: { pk: 'b' } }]);

    const [first, second, other] = commands.map(
      (command) => (command as TransactWriteItemsCommand).input.ClientRequestToken,
    );
    expect(second).toBe(first);
    expect(other).not.toBe(first);
  });

  it('gives up after eight conflicts, retryable', async () => {
    const { table, commands } = tableWith(cancelled('None', 'TransactionConflict'));

    await expect(table.write([put])).rejects.toMatchObject({
      code: 'ClaimStoreUnavailable',
      retryable: true,
    });
    expect(commands).toHaveLength(8);
  });

  it('is refused when a condition failed, even if another item was in conflict', async () => {
    const reasons = cancelled('ConditionalCheckFailed', 'TransactionConflict');
    const { table, commands } = tableWith(reasons);

    expect(await table.write([put, put])).toEqual({
      outcome: 'refused',
      refusals: [{}, undefined],
    });
    expect(commands).toHaveLength(1);
  });

  it('is not tried again when the service finds fault with it', async () => {
    const { table, commands } = tableWith(cancelled('ValidationError'));

    await expect(table.write([put])).rejects.toMatchObject({ retryable: false });
    expect(commands).toHaveLength(1);
  });
});

describe('a fault of the service', () => {
  it.each([
    ['ThrottlingException', 400, true],
    ['ProvisionedThroughputExceededException', 400, true],
    ['TransactionInProgressException', 400, true],
    ['InternalServerError', 500, true],
    ['ServiceUnavailable', 503, true],
    ['TimeoutError', undefined, true],
    ['ECONNRESET', undefined, true],
    ['AccessDeniedException', 400, false],
    ['ResourceNotFoundException', 400, false],
    ['ValidationException', 400, false],
  ] as const)('%s (%s) is retryable: %s', async (name, status, retryable) => {
    const { table } = tableWith(fault(name, status));

    for (const ask of [table.read(['a']), table.write([put]), table.listOpen('ended', 1, 1)]) {
      await expect(ask).rejects.toMatchObject({
        code: 'ClaimStoreUnavailable',
        retryable,
        message: `claim table claims could not be asked: ${name} happened`,
      });
    }
  });
});

describe('reading', () => {
  it('asks consistently, and again for the keys that a batch left out', async () => {
    const item = (pk: string) => ({ pk: { S: pk } });
    const { table, commands } = tableWith(
      {
        Responses: { claims: [item('a')] },
        UnprocessedKeys: { claims: { Keys: [item('b')], ConsistentRead: true } },
      },
      { Responses: { claims: [item('b')] } },
    );

    const items = await table.read(['a', 'b']);

    expect([...items.keys()]).toEqual(['a', 'b']);
    const inputs = commands.map((command) => (command as BatchGetItemCommand).input.RequestItems);
    expect(inputs).toEqual([
      { claims: { Keys: [item('a'), item('b')], ConsistentRead: true } },
      { claims: { Keys: [item('b')], ConsistentRead: true } },
    ]);
  });

  it('gives up when keys stay unread, and shows no half of the answer', async () => {
    const { table } = tableWith({
      UnprocessedKeys: { claims: { Keys: [{ pk: { S: 'a' } }] } },
    });

    await expect(table.read(['a'])).rejects.toMatchObject({ retryable: true });
  });

  it('pages through the index until the limit, and no further', async () => {
    const page = { Items: [{ pk: { S: 'a' } }], LastEvaluatedKey: { pk: { S: 'a' } } };
    const { table, commands } = tableWith(page);

    expect(await table.listOpen('ended', 5, 3)).toHaveLength(3);

    const limits = commands.map((command) => (command as QueryCommand).input.Limit);
    expect(limits).toEqual([3, 2, 1]);
  });
});
