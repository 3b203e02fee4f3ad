import type { CaptureRecord } from '../claim/capture-record.ts';
import { objectKeysOf, ticketKey } from '../dump-index/object-keys.ts';
import type { Artifact, Rung } from '../policy/policy.ts';
import type { Plan } from './plan.ts';
import type { DataKey, ObjectStore } from './ports.ts';
import type { Ticket } from './ticket.ts';

/**
 * A function does not learn how long the credentials that sign its URLs still live ("Services that assume a role, such as
 * the AWS Lambda execution role, don't necessarily comply with the role's session duration settings",
 * https://repost.aws/knowledge-center/presigned-url-s3-bucket-expiration), so fresh ones are asked for long before. Most
 * captures have ended by then.
 */
const wishSeconds = 300;
/** The manifest may come a moment after the deadline; the function's clock may be ahead of the bucket's. */
const urlMarginSeconds = 60;

/** Opens the multipart upload of the heap dump; `undefined` when none is planned. */
export async function openUpload(
  objects: ObjectStore,
  record: CaptureRecord,
  plan: Plan,
): Promise<string | undefined> {
  if (!plan.heapDump.wanted) return undefined;
  const { heapDump } = objectKeysOf(record);
  const type = record.policy.encrypt ? 'application/octet-stream' : 'application/zstd';
  return objects.createMultipartUpload(heapDump, type);
}

export interface TicketOrder {
  record: CaptureRecord;
  plan: Plan;
  rung: Rung;
  artifacts: readonly Artifact[];
  leftovers?: Ticket['leftovers'];
  uploadId: string | undefined;
  /** Present where the policy asks for encryption. */
  dataKey?: DataKey | undefined;
  now: Date;
  /** How long the agent may take to begin. */
  startSeconds: number;
}

/** Writes the agent's order with a presigned URL for everything it may put, each for the capture's time only. */
export async function buildTicket(objects: ObjectStore, order: TicketOrder): Promise<Ticket> {
  const { record, now } = order;
  const keys = objectKeysOf(record);
  const deadline = Date.parse(record.captureDeadlineTime);
  const expiresSeconds = urlSeconds(record, now);
  const evidence: Ticket['evidence'] = [];
  for (const artifact of order.artifacts) {
    // The tail of the last output is nothing that lies in the pod: see previous-log.ts.
    if (artifact === 'heapDump' || artifact === 'previousLog') continue;
    const putUrl = await objects.presignPut(keys.evidence(artifact), expiresSeconds);
    evidence.push({ artifact, putUrl });
  }
  const heapDump = await heapDumpOrder(objects, order, keys.heapDump, expiresSeconds);
  const startDeadline = Math.min(deadline, now.getTime() + order.startSeconds * 1000);
  return {
    schemaVersion: 1,
    captureId: record.captureId,
    fencingToken: record.fencingToken,
    rung: order.rung,
    target: {
      clusterName: record.clusterName,
      namespace: record.namespace,
      podName: record.podName,
      podUid: record.podUid,
      containerName: record.containerName,
      containerID: record.containerID,
    },
    issuedTime: now.toISOString(),
    startDeadlineTime: new Date(startDeadline).toISOString(),
    captureDeadlineTime: record.captureDeadlineTime,
    evidence,
    ...(heapDump === undefined ? {} : { heapDump }),
    ...(order.leftovers === undefined ? {} : { leftovers: order.leftovers }),
    ...(order.dataKey && { encryption: encryptionOrder(order.dataKey) }),
    progressUrl: await objects.presignPut(keys.progress, expiresSeconds),
    manifestUrl: await objects.presignPut(keys.manifest, expiresSeconds),
    renewal: await renewalOf(objects, record, 0, now),
  };
}

/** Seconds for which URLs of this capture are signed. */
export function urlSeconds(record: CaptureRecord, now: Date): number {
  const seconds = (Date.parse(record.captureDeadlineTime) - now.getTime()) / 1_000;
  return Math.ceil(seconds) + urlMarginSeconds;
}

/** Where the ticket of this number says that the next one is to be found, and when to ask for it. */
export async function renewalOf(
  objects: ObjectStore,
  record: CaptureRecord,
  number: number,
  now: Date,
): Promise<NonNullable<Ticket['renewal']>> {
  const objectKey = ticketKey(record.captureId, record.fencingToken);
  return {
    getUrl: await objects.presignGet(objectKey, urlSeconds(record, now)),
    number,
    wishTime: new Date(now.getTime() + wishSeconds * 1_000).toISOString(),
  };
}

function encryptionOrder({ plain, encryption }: DataKey): Ticket['encryption'] {
  const { algorithm } = encryption;
  return { algorithm, dataKey: Buffer.from(plain).toString('base64') };
}

async function heapDumpOrder(
  objects: ObjectStore,
  { record, plan, rung, uploadId }: TicketOrder,
  objectKey: string,
  expiresSeconds: number,
): Promise<Ticket['heapDump']> {
  if (!plan.heapDump.wanted || uploadId === undefined) return undefined;
  const { directories, sizeLimits, blockBytes, partBytes, partCount, expectedBytes } =
    plan.heapDump;
  const { skipMerge } = record.policy.heapDump;
  // The exec agent refuses what it does not know.
  const mayWait = plan.heapDump.mayWait && rung !== 'exec';
  const urls = await objects.presignParts(objectKey, uploadId, partCount, expiresSeconds);
  return {
    codec: 'zstd',
    blockBytes,
    partBytes,
    partUrls: [...urls],
    directories: [...directories],
    expectedBytes,
    ...(sizeLimits && { sizeLimits: { ...sizeLimits } }),
    ...(record.policy.redact !== 'none' && { redact: record.policy.redact }),
    // An older agent refuses what it does not know.
    ...(skipMerge && { skipMerge: true }),
    ...(mayWait && { mayWait: true }),
  };
}

/**
 * Puts the ticket where the agent fetches it.
 * @returns the presigned URL, a secret as long as the agent may begin.
 */
export async function putTicket(
  objects: ObjectStore,
  ticket: Ticket,
  startSeconds: number,
): Promise<string> {
  const objectKey = ticketKey(ticket.captureId, ticket.fencingToken);
  const order = { ...ticket };
  // The exec agent refuses what it does not know.
  if (order.rung === 'exec') delete order.renewal;
  await writeTicket(objects, order);
  return objects.presignGet(objectKey, startSeconds);
}

export async function writeTicket(objects: ObjectStore, ticket: Ticket): Promise<void> {
  const objectKey = ticketKey(ticket.captureId, ticket.fencingToken);
  await objects.putObject(objectKey, Buffer.from(JSON.stringify(ticket)), {
    contentType: 'application/json',
  });
}
