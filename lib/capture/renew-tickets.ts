import type { CaptureRecord } from '../claim/capture-record.ts';
import { objectKeysOf, ticketKey } from '../dump-index/object-keys.ts';
import { CaptureError, messageOf } from '../errors.ts';
import { validate } from '../validation.ts';
import type { FinishDeps } from './conclude-capture.ts';
import { renewalOf, urlSeconds, writeTicket } from './issue-ticket.ts';
import type { RenewalWish } from './manifest.ts';
import type { ObjectStore } from './ports.ts';
import { readProgress } from './read-account.ts';
import { maxPartCount, maxTicketBytes, ticketSchema, type Ticket } from './ticket.ts';

export type RenewDeps = Pick<
  FinishDeps,
  'claims' | 'objects' | 'clock' | 'logger' | 'remainingMillis'
>;

export interface RenewAnswer {
  renewed: readonly { captureId: string; number: number }[];
  /** Wishes that were not granted; those of a fault that can pass are granted by the next run. */
  refused: readonly { captureId: string; message: string }[];
}

/** A few calls each, one of them with up to 15 MB; with less time than this none is begun. */
const minMillisPerTicket = 20_000;

/**
 * Writes a fresh ticket for each running capture whose agent asks for one in its progress: the same order, with new
 * URLs for the same upload, signed by the credentials of this run, and more part URLs where the agent wants them. Each
 * wish has a number and is granted once, so that this can run at any time, and twice at once.
 * @param options limit 1..100 captures that are looked at.
 * @throws CaptureError ClaimStoreUnavailable (retryable), when not even the list can be read.
 */
export async function renewTickets(
  deps: RenewDeps,
  options: { limit: number },
): Promise<RenewAnswer> {
  const running = await deps.claims.listRunning(deps.clock(), options.limit);
  const renewed: RenewAnswer['renewed'][number][] = [];
  const refused: RenewAnswer['refused'][number][] = [];
  for (const record of running) {
    if (deps.remainingMillis() < minMillisPerTicket) break;
    const { captureId } = record;
    try {
      const number = await renewOne(deps, record);
      if (number !== undefined) renewed.push({ captureId, number });
    } catch (error) {
      deps.logger.warn('ticket not renewed', { captureId, error });
      refused.push({ captureId, message: messageOf(error) });
    }
  }
  return { renewed, refused };
}

/** @returns the number of the ticket that was written; `undefined` when none is wished for, or it is there. */
async function renewOne(deps: RenewDeps, found: CaptureRecord): Promise<number | undefined> {
  const { objects, claims, clock, logger } = deps;
  const progress = await readProgress(objects, found);
  const wish = progress.found === 'valid' ? progress.value.renewalWish : undefined;
  if (wish === undefined) return undefined;
  const ticket = await readTicket(objects, found);
  const number = ticket.renewal?.number ?? 0;
  if (wish.number <= number) return undefined;
  if (wish.number !== number + 1) {
    throw new CaptureError(
      'InvalidTicket',
      `the agent asks for ticket ${wish.number}; accepted is ${number + 1}, the one after its own`,
    );
  }
  // What was listed comes from an index that lags behind. Who finishes the capture in the meantime ends its upload, for
  // which the URLs are then worth nothing.
  const record = await claims.readCapture(found.captureId);
  const now = clock();
  const runs =
    record?.state === 'started' &&
    record.fencingToken === found.fencingToken &&
    now.getTime() < Date.parse(record.captureDeadlineTime);
  if (!runs) return undefined;
  const fresh = await withFreshUrls(objects, record, ticket, wish, now);
  await writeTicket(objects, fresh);
  logger.info('ticket renewed', {
    captureId: record.captureId,
    fencingToken: record.fencingToken,
    number: wish.number,
    partCount: fresh.heapDump?.partUrls.length,
  });
  return wish.number;
}

async function readTicket(objects: ObjectStore, record: CaptureRecord): Promise<Ticket> {
  const objectKey = ticketKey(record.captureId, record.fencingToken);
  const body = await objects.getObject(objectKey, { maxBytes: maxTicketBytes });
  if (body === undefined) {
    throw new CaptureError('InvalidTicket', `${objectKey} is gone: it cannot be renewed`);
  }
  try {
    return validate(ticketSchema, JSON.parse(Buffer.from(body).toString()), 'InvalidTicket', '');
  } catch {
    // What is amiss in it is not told: a value can be a presigned URL.
    throw new CaptureError('InvalidTicket', `${objectKey} is not a ticket`);
  }
}

async function withFreshUrls(
  objects: ObjectStore,
  record: CaptureRecord,
  ticket: Ticket,
  wish: RenewalWish,
  now: Date,
): Promise<Ticket> {
  const keys = objectKeysOf(record);
  const seconds = urlSeconds(record, now);
  const evidence: Ticket['evidence'] = [];
  for (const { artifact } of ticket.evidence) {
    evidence.push({ artifact, putUrl: await objects.presignPut(keys.evidence(artifact), seconds) });
  }
  const { heapDump } = ticket;
  const uploadId = record.started?.uploadId;
  // The last number stays free, as in planHeapDump.
  const partCount = Math.max(
    heapDump?.partUrls.length ?? 0,
    Math.min(wish.partCount ?? 0, maxPartCount - 1),
  );
  const partUrls =
    uploadId === undefined
      ? []
      : await objects.presignParts(keys.heapDump, uploadId, partCount, seconds);
  return {
    ...ticket,
    issuedTime: now.toISOString(),
    evidence,
    ...(heapDump && { heapDump: { ...heapDump, partUrls: [...partUrls] } }),
    progressUrl: await objects.presignPut(keys.progress, seconds),
    manifestUrl: await objects.presignPut(keys.manifest, seconds),
    renewal: await renewalOf(objects, record, wish.number, now),
  };
}
