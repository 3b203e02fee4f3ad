import type { CaptureRecord } from '../claim/capture-record.ts';
import { buildIndexEntry, type IndexEntry } from '../dump-index/index-entry.ts';
import { indexKey, ticketKey } from '../dump-index/object-keys.ts';
import { messageOf } from '../errors.ts';
import type { Logger } from '../log.ts';
import { outcomeEvent } from './capture-events.ts';
import { captureMetrics } from './capture-metrics.ts';
import { endingOf, type Ending } from './ending-of.ts';
import { findEvidence } from './find-evidence.ts';
import { finishWithRight, type FinishRightDeps, type Settlement } from './finish-right.ts';
import { storePreviousLog } from './previous-log.ts';
import type { ClusterApi, ObjectStore } from './ports.ts';
import { retentionOf, type RetentionSettings } from '../dump-index/retention.ts';
import { tagCapture } from './tag-capture.ts';
import { settleDump, type AgentAccounts, type Fault, type SettledDump } from './settle-dump.ts';

export interface FinishDeps extends FinishRightDeps {
  objects: ObjectStore;
  /** For the Event on the pod; a cluster that cannot be reached delays nothing that is stored. */
  clusterOf: (clusterName: string) => Promise<ClusterApi>;
  logger: Logger;
  retention: RetentionSettings;
}

export type Conclusion =
  { outcome: 'concluded'; entry: IndexEntry } | { outcome: 'busy' | 'finished' | 'stale' };

/**
 * Takes the right to finish a capture, then reads what the agent said, stores and verifies what arrived, tags it, writes
 * the index entry, frees the lock and tells the pod: in this order, so that a crash at any point leaves
 * the lock to a later run and never an entry unwritten. Each step can be repeated.
 * @param readAccounts is called once the right is held, so that a manifest that comes at the last moment counts.
 * @throws CaptureError ObjectStoreUnavailable, ClaimStoreUnavailable (retryable).
 */
export async function concludeCapture(
  deps: FinishDeps,
  found: CaptureRecord,
  finisher: IndexEntry['how']['finisher'],
  readAccounts: () => Promise<AgentAccounts & { faults: readonly Fault[] }>,
): Promise<Conclusion> {
  const result = await finishWithRight(deps, found, async (record) =>
    storeConclusion(deps, record, finisher, await readAccounts()),
  );
  if (result.outcome !== 'concluded') return result;
  const { record, entry, stored } = result.settled;
  logConclusion(deps, record, entry, stored);
  if (stored !== undefined) await tellPod(deps, record, entry);
  return { outcome: 'concluded', entry };
}

interface StoredConclusion extends Settlement {
  record: CaptureRecord;
  entry: IndexEntry;
  /** Key of the entry; absent when there was nothing to tell. */
  stored: string | undefined;
}

async function storeConclusion(
  deps: FinishDeps,
  record: CaptureRecord,
  finisher: IndexEntry['how']['finisher'],
  accounts: AgentAccounts & { faults: readonly Fault[] },
): Promise<StoredConclusion> {
  const ending = endingOf(record, accounts.manifest);
  if (ending?.matters) await storePreviousLog(deps, record);
  const dump = await settleDump(deps.objects, record, accounts);
  const { evidence, faults } = await findEvidence(deps.objects, record, accounts.manifest);
  const retention = retentionOf(record, deps.retention);
  const tagFaults = await tagCapture(deps.objects, record.objectPrefix, retention);
  const judgement = judge(record, accounts, dump, evidence.length, ending);
  const entry = buildIndexEntry({
    record: asRun(record, accounts),
    ...judgement,
    finisher,
    ...(ending === undefined ? {} : { ending: ending.verdict }),
    sealTime: deps.clock(),
    ...(accounts.manifest === undefined ? {} : { manifest: accounts.manifest }),
    ...(accounts.progress === undefined ? {} : { progress: accounts.progress }),
    evidence,
    ...(dump.heapDump === undefined ? {} : { heapDump: dump.heapDump }),
    retention,
    faults: [...dump.faults, ...faults, ...accounts.faults, ...tagFaults],
  });
  const nothingLeft = leftNothing(record, accounts, entry, ending);
  const stored = nothingLeft ? undefined : await writeIndexEntry(deps, record, entry);
  if (stored !== undefined && tagFaults.length === 0) {
    await tagCapture(deps.objects, stored, retention);
  }
  await dropTicket(deps, record);
  // A dump of another replica would be a second one that stands still at once.
  const goesOn = accounts.manifest?.dumpGoesOn;
  return { ...judgement, ...(goesOn && { dumpGoesOn: true }), record, entry, stored };
}

/**
 * An agent that looked for leftovers, saw none, and has nothing to complain of. Most ends of containers are like this:
 * an entry and an Event for each would bury those that tell of a dump. The log has it, and the record. Of a JVM that ended
 * for memory or by itself there is an entry all the same: somebody will ask why.
 */
function leftNothing(
  record: CaptureRecord,
  { manifest }: AgentAccounts,
  { state, faults }: IndexEntry,
  ending: Ending | undefined,
): boolean {
  return (
    record.termination !== undefined &&
    manifest !== undefined &&
    state === 'failed' &&
    faults.length === 0 &&
    ending?.matters !== true
  );
}

/** The rung that really ran: a node agent that would not start can have been replaced by the next rung. */
function asRun(record: CaptureRecord, { manifest }: AgentAccounts): CaptureRecord {
  if (record.started === undefined || manifest === undefined) return record;
  return { ...record, started: { ...record.started, rung: manifest.rung } };
}

function judge(
  record: CaptureRecord,
  { manifest }: AgentAccounts,
  dump: SettledDump,
  evidenceCount: number,
  ending: Ending | undefined,
): Settlement {
  if (dump.state === 'whole') return { outcome: 'complete' };
  const [fault] = [...dump.faults, ...(manifest?.faults ?? [])];
  if (dump.state === 'salvaged') return { outcome: 'salvaged', ...reasonOf(fault) };
  const outcome = evidenceCount > 0 ? 'evidence-only' : 'failed';
  if (fault !== undefined) return { outcome, ...reasonOf(fault) };
  if (ending?.matters) {
    return { outcome, reason: `NoHeapDumpLeft: ${ending.verdict.explanation}` };
  }
  if (record.started === undefined) {
    return { outcome, reason: 'AgentNotStarted: the function ended between claim and start' };
  }
  if (record.termination !== undefined && manifest !== undefined) {
    return { outcome, reason: 'NothingLeft: no dump of the ended life lies in its volumes' };
  }
  const { heapDumpRefusal, refusedDirectories = {} } = record.started;
  if (outcome === 'evidence-only' && heapDumpRefusal !== undefined) {
    const places = Object.entries(refusedDirectories).map(([path, why]) => `${path}: ${why}`);
    const reason = [`${heapDumpRefusal}: no heap dump was planned`, ...places].join('; ');
    return { outcome, reason: reason.slice(0, 1_000) };
  }
  return { outcome, reason: 'NothingArrived: the agent sent no part of a heap dump' };
}

function reasonOf(fault: Fault | undefined): { reason?: string } {
  return fault === undefined ? {} : { reason: `${fault.code}: ${fault.message}`.slice(0, 1_000) };
}

/** Overwrites: a second finisher has the same capture before it, and the later account is the fuller one. */
async function writeIndexEntry(
  deps: Pick<FinishDeps, 'objects'>,
  record: CaptureRecord,
  entry: IndexEntry,
): Promise<string> {
  const objectKey = indexKey(record);
  await deps.objects.putObject(objectKey, Buffer.from(JSON.stringify(entry)), {
    contentType: 'application/json',
  });
  return objectKey;
}

async function dropTicket(
  deps: Pick<FinishDeps, 'objects' | 'logger'>,
  record: CaptureRecord,
): Promise<void> {
  try {
    await deps.objects.deleteObject(ticketKey(record.captureId, record.fencingToken));
  } catch (error) {
    // Its URLs expire with the capture's deadline, and the bucket's lifecycle rule removes it within a day.
    deps.logger.warn('ticket not deleted', { captureId: record.captureId, error });
  }
}

function logConclusion(
  { logger, clock }: Pick<FinishDeps, 'logger' | 'clock'>,
  record: CaptureRecord,
  entry: IndexEntry,
  objectKey: string | undefined,
): void {
  logger.info('capture finished', {
    captureId: record.captureId,
    fencingToken: record.fencingToken,
    state: entry.state,
    reason: entry.reason,
    objectKey,
    rung: entry.how.rung,
    finisher: entry.how.finisher,
    when: entry.when,
    compressedBytes: entry.objects.heapDump?.compressedBytes,
    rawBytes: entry.objects.heapDump?.rawBytes,
    faults: entry.faults,
    ...captureMetrics(record, entry, clock()),
  });
}

async function tellPod(deps: FinishDeps, record: CaptureRecord, entry: IndexEntry): Promise<void> {
  try {
    const cluster = await deps.clusterOf(record.clusterName);
    await cluster.postPodEvent(record, { ...outcomeEvent(entry), indexKey: indexKey(record) });
  } catch (error) {
    const { captureId, podName } = record;
    deps.logger.warn('Event not posted', { captureId, podName, error: messageOf(error) });
  }
}
