import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { createDynamoDbClient } from '../../lib/aws/dynamodb-client.ts';
import { createDynamoDbClaimStore } from '../../lib/aws/dynamodb-claim-store.ts';
import type { ClaimStore } from '../../lib/claim/claim-store.ts';
import { acquire, after, finishAs, requestWith, startAt } from '../claim/claim-requests.ts';
import { claimStoreContract } from './claim-store.ts';
import { startDynamoDbLocal, type DynamoDbLocal } from './dynamodb-local.ts';

let dynamoDb: DynamoDbLocal;
const clients: { destroy(): void }[] = [];
beforeAll(async () => {
  dynamoDb = await startDynamoDbLocal();
}, 60_000);
afterAll(async () => {
  for (const client of clients) client.destroy();
  await dynamoDb.stop();
});

function createClient() {
  const client = dynamoDb.createClient();
  clients.push(client);
  return client;
}

describe('the claim store in DynamoDB', () => {
  claimStoreContract({
    create: async (options) =>
      createDynamoDbClaimStore({
        client: createClient(),
        tableName: await dynamoDb.createClaimTable(),
        ...options,
      }),
  });

  describe('when the service fails', () => {
    it('throws a retryable fault and takes nothing when writes are throttled', async () => {
      const tableName = await dynamoDb.createClaimTable();
      const healthy = createDynamoDbClaimStore({ client: createClient(), tableName });
      const request = requestWith();

      const claim = storeThat('throttles', tableName).tryAcquire(request);

      await expect(claim).rejects.toMatchObject({ code: 'ClaimStoreUnavailable', retryable: true });
      expect(await healthy.readHistory(request.lockKey)).toEqual({ acquireTimes: [] });
      expect(await healthy.readCapture(request.captureId)).toBeUndefined();
    });

    it('recognises its own claim when the reply to it was lost', async () => {
      const tableName = await dynamoDb.createClaimTable();
      const store = storeThat('losesOneReply', tableName);
      const request = requestWith({ claimNonce: 'mine' });

      await expect(store.tryAcquire(request)).rejects.toMatchObject({
        code: 'ClaimStoreUnavailable',
        retryable: true,
      });
      const again = await store.tryAcquire(request);

      expect(again).toMatchObject({ outcome: 'acquired', record: { fencingToken: 1 } });
      expect((await store.readHistory(request.lockKey)).acquireTimes).toHaveLength(1);
    });

    it('has finished wholly when the reply to finish was lost', async () => {
      const tableName = await dynamoDb.createClaimTable();
      const healthy = createDynamoDbClaimStore({ client: createClient(), tableName });
      const limits = { nodeSlotCount: 1 };
      const record = await acquire(healthy, { limits });
      const { captureId, lockKey } = record;
      const finisherIdentity = 'seal';
      const now = after(10);
      await healthy.beginFinish(captureId, 1, { finisherIdentity, now, leaseSeconds: 60 });
      const store = storeThat('losesOneReply', tableName);
      const finish = () => store.finish(captureId, 1, { finisherIdentity, outcome: 'failed', now });

      await expect(finish()).rejects.toMatchObject({ retryable: true });
      expect(await finish()).toBe('finished');

      expect(await store.readHistory(lockKey)).toEqual({ acquireTimes: [] });
      await acquire(healthy, { limits, workload: { kind: 'Deployment', name: 'other' }, now });
    });

    it('says that asking again is useless when there is no such table', async () => {
      const client = createDynamoDbClient({ region: 'us-east-1', endpoint: dynamoDb.endpoint });
      clients.push(client);
      const store = createDynamoDbClaimStore({ client, tableName: 'no-such-table' });

      await expect(store.readHistory('any')).rejects.toMatchObject({
        code: 'ClaimStoreUnavailable',
        retryable: false,
        message: expect.stringContaining('no-such-table') as unknown,
      });
    });
  });

  it('holds its limits when claims, starts and ends of ten workloads go on at once', async () => {
    const store = createDynamoDbClaimStore({
      client: createClient(),
      tableName: await dynamoDb.createClaimTable(),
    });
    const limits = { nodeSlotCount: 2 };

    const counts = await Promise.all(
      Array.from({ length: 10 }, (_, index) => claimStartFinish(store, index, limits)),
    );

    const claimed = counts.reduce((sum, count) => sum + count, 0);
    expect(claimed).toBeGreaterThan(0);
    const left = await store.tryAcquire(requestWith({ limits, now: after(100) }));
    expect(left.outcome).toBe('acquired');
  });
});

/** Three rounds of one workload; what a round may not have is a normal answer. */
async function claimStartFinish(
  store: ClaimStore,
  index: number,
  limits: { nodeSlotCount: number },
): Promise<number> {
  let count = 0;
  for (let round = 0; round < 3; round += 1) {
    const now = after(round * 10);
    const workload = { kind: 'Deployment', name: `cart-${index}` };
    const result = await store.tryAcquire(requestWith({ workload, limits, now }));
    if (result.outcome === 'refused') {
      expect(result.reason).toBe('NodeBusy');
      continue;
    }
    count += 1;
    const { captureId, fencingToken } = result.record;
    expect(await store.markStarted(captureId, fencingToken, startAt(now))).toBe(true);
    expect(await finishAs(store, result.record, 'complete', now)).toBe('finished');
  }
  return count;
}

/** A store whose client does to transactions what services do on a bad day. */
function storeThat(fault: 'throttles' | 'losesOneReply', tableName: string): ClaimStore {
  const client = createClient();
  let replyCount = 0;
  client.middlewareStack.add(
    (next, context) => async (args) => {
      if (context['commandName'] !== 'TransactWriteItemsCommand') return next(args);
      if (fault === 'throttles') {
        throw Object.assign(new Error('rate exceeded'), {
          name: 'ThrottlingException',
          $metadata: { httpStatusCode: 400 },
        });
      }
      const reply = await next(args);
      replyCount += 1;
      if (replyCount > 1) return reply;
      throw Object.assign(new Error('no reply'), { name: 'TimeoutError' });
    },
    { step: 'initialize', name: 'fault' },
  );
  return createDynamoDbClaimStore({ client, tableName, wait: () => Promise.resolve() });
}
