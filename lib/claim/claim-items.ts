import * as z from 'zod';
import { CaptureError } from '../errors.ts';
import { validate } from '../validation.ts';
import type { CaptureRecord } from './capture-record.ts';
import { captureOutcomes } from './capture-record.ts';
import type { Item } from './condition.ts';
import { recordLifeSeconds } from './lease.ts';

/** The sparse index of captures that have not ended. */
export const openCapturesIndex = 'open-captures';
export const ttlAttribute = 'expireTimeEpochSeconds';

/** The claim table as CreateTable takes it; infra/ deploys the same. */
export const claimTableDefinition = {
  KeySchema: [{ AttributeName: 'pk', KeyType: 'HASH' as const }],
  AttributeDefinitions: [
    { AttributeName: 'pk', AttributeType: 'S' as const },
    { AttributeName: 'openCapture', AttributeType: 'S' as const },
    { AttributeName: 'leaseExpireMillis', AttributeType: 'N' as const },
  ],
  GlobalSecondaryIndexes: [
    {
      IndexName: openCapturesIndex,
      KeySchema: [
        { AttributeName: 'openCapture', KeyType: 'HASH' as const },
        { AttributeName: 'leaseExpireMillis', KeyType: 'RANGE' as const },
      ],
      Projection: { ProjectionType: 'ALL' as const },
    },
  ],
  BillingMode: 'PAY_PER_REQUEST' as const,
};

/** For the deployment, beside the definition: CreateTable does not take it. */
export const claimTableTimeToLive = { AttributeName: ttlAttribute, Enabled: true } as const;

const millis = z.number().int();
const token = z.number().int().min(1);

const lockItemSchema = z.object({
  pk: z.string(),
  /** The last token that was handed out; stays when the lock is free. */
  fencingToken: token,
  /** Acquisitions that count into the rate, newest first. */
  acquireMillis: z.array(millis),
  /** captureId; absent when the lock was released. */
  holderIdentity: z.string().optional(),
  leaseExpireMillis: millis.optional(),
  cooldownUntilMillis: millis.optional(),
  /** So late that lease, cooldown, rate and every record that carries one of its tokens are over. */
  expireTimeEpochSeconds: millis,
});
/** The lock of one workload, and the history of its limits. */
export type LockItem = Readonly<z.output<typeof lockItemSchema>>;

const slotItemSchema = z.object({
  pk: z.string(),
  holderIdentity: z.string(),
  fencingToken: token,
  leaseExpireMillis: millis,
  expireTimeEpochSeconds: millis,
});
/** One taken slot; a free one has no item, or one whose lease has ended. */
export type SlotItem = Readonly<z.output<typeof slotItemSchema>>;

const captureItemSchema = z.object({
  pk: z.string(),
  /** The CaptureRecord as JSON; the other attributes are for conditions and the index. Its state is that of the attribute. */
  record: z.string(),
  state: z.enum(['claimed', 'started', 'finishing', ...captureOutcomes]),
  fencingToken: token,
  /** Which attempt of this captureId it is, from 1. */
  attemptCount: z.number().int().min(1),
  claimNonce: z.string(),
  /** Both only while the capture has not ended: what makes the index sparse. */
  openCapture: z.literal('open').optional(),
  leaseExpireMillis: millis.optional(),
  finisherIdentity: z.string().optional(),
  finisherLeaseExpireMillis: millis.optional(),
  /** No agent ever ran for it. */
  agentNeverRan: z.boolean().optional(),
  expireTimeEpochSeconds: millis,
});
export type CaptureItem = Readonly<z.output<typeof captureItemSchema>>;

/** @throws CaptureError ClaimStoreUnavailable, not retryable: the item is not one of ours. */
export const lockFrom = (item: Item | undefined): LockItem | undefined =>
  readAs(lockItemSchema, item);
export const slotFrom = (item: Item | undefined): SlotItem | undefined =>
  readAs(slotItemSchema, item);
export const captureFrom = (item: Item | undefined): CaptureItem | undefined =>
  readAs(captureItemSchema, item);

function readAs<T extends z.ZodType>(
  schema: T,
  item: Item | undefined,
): Readonly<z.output<T>> | undefined {
  if (item === undefined) return undefined;
  return validate(schema, item, 'ClaimStoreUnavailable', `claim item ${item.pk}`);
}

/** DynamoDB refuses items over 400 KB; both the record and its copy in an error must stay far below. */
const maxRecordBytes = 200_000;

/** @throws CaptureError InvalidConfiguration over 200,000 bytes. */
export function recordToJson(record: CaptureRecord): string {
  const json = JSON.stringify(record);
  const bytes = Buffer.byteLength(json);
  if (bytes <= maxRecordBytes) return json;
  throw new CaptureError(
    'InvalidConfiguration',
    `record of capture ${record.captureId} has ${bytes} bytes; accepted are at most ${maxRecordBytes}`,
  );
}

/** @throws CaptureError ClaimStoreUnavailable, not retryable: the item is not one of ours. */
export function recordOf(item: CaptureItem): CaptureRecord {
  try {
    return Object.assign(JSON.parse(item.record) as CaptureRecord, { state: item.state });
  } catch (cause) {
    throw new CaptureError('ClaimStoreUnavailable', `claim item ${item.pk} holds no record`, {
      cause,
    });
  }
}

/** `undefined` for an item whose time is over: DynamoDB deletes it within days, not at once. */
export function unlessExpired<T extends { expireTimeEpochSeconds: number }>(
  item: T | undefined,
  nowMillis: number,
): T | undefined {
  return item !== undefined && item.expireTimeEpochSeconds * 1_000 > nowMillis ? item : undefined;
}

/** The TTL attribute of an item that must stay for a record's life after the given time. */
export function expireTimeAfter(millisSinceEpoch: number): number {
  return Math.ceil(millisSinceEpoch / 1_000) + recordLifeSeconds;
}
