import type { CaptureRecord } from '../claim/capture-record.ts';
import type { ClaimResult } from '../claim/claim-store.ts';
import { indexPlace } from '../dump-index/index-place.ts';
import { indexKey } from '../dump-index/object-keys.ts';
import { nextOf, type CaptureAnswer, type StartReason } from './capture-answer.ts';
import { readHolder, type ProgressDeps } from './progress-words.ts';
import { describeHeapDumpRefusal, skipAnswer, type Intent } from './weigh-signal.ts';

/** The answer of a capture that begins, or would. */
export function dumpAnswer(intent: Intent, reason: StartReason): CaptureAnswer {
  const { decision, plan, container } = intent;
  const what = plan.heapDump.wanted
    ? decision.artifacts
    : decision.artifacts.filter((artifact) => artifact !== 'heapDump');
  const verb = reason === 'DryRun' ? 'would capture' : 'captures';
  const end = intent.leftovers?.termination;
  const leftBy =
    end === undefined ? '' : ` that its last life left (${end.reason}, exit code ${end.exitCode})`;
  const heapDumpWanted = decision.artifacts.includes('heapDump') && !plan.heapDump.wanted;
  const notes = [
    ...(decision.note === undefined ? [] : [decision.note]),
    ...(heapDumpWanted ? [describeHeapDumpRefusal(plan)] : []),
  ];
  return {
    decision: 'dump',
    reason,
    message: `${verb} ${what.join(', ')} of container ${container.containerName}${leftBy}, capture ${[decision.captureId, ...notes].join('; ')}`,
    captureId: decision.captureId,
    ...(plan.rung === undefined ? {} : { rung: plan.rung }),
    next: nextOf('dump', reason),
  };
}

/** The answer to a claim that was refused: by whom, until when. */
export function refusedAnswer(
  { decision, lockKey }: Intent,
  { reason, holderIdentity, untilTime }: Extract<ClaimResult, { outcome: 'refused' }>,
): CaptureAnswer {
  const holder = holderIdentity === undefined ? '' : `, held by capture ${holderIdentity}`;
  const until = untilTime === undefined ? '' : `, until ${untilTime}`;
  const message = `claim of ${lockKey} refused: ${reason}${holder}${until}`;
  return { ...skipAnswer(reason, message), captureId: decision.captureId };
}

type Index = { readonly bucketName: string; readonly region?: string | undefined } | undefined;

/** Adds where the capture's index entry is, or will be, for eyes and for programs. */
export function withIndexEntry(
  answer: CaptureAnswer,
  index: Index,
  record: CaptureRecord,
): CaptureAnswer {
  if (index === undefined) return answer;
  const indexEntry = indexPlace(index, indexKey(record));
  const begins = answer.decision === 'dump';
  const what = begins ? 'the result will be' : 'the result of that one is or will be';
  return { ...answer, indexEntry, next: `${answer.next}; ${what} ${indexEntry.uri}` };
}

/**
 * Adds how far the capture is that stands in the way, and where its result will be: whoever asks wants to know how long to
 * wait.
 */
export async function withHolder(
  deps: ProgressDeps,
  index: Index,
  { answer, holderId }: { answer: CaptureAnswer; holderId?: string | undefined },
): Promise<CaptureAnswer> {
  if (holderId === undefined) return answer;
  const { record, words } = await readHolder(deps, holderId);
  const told = words === undefined ? answer : { ...answer, message: `${answer.message}; ${words}` };
  if (record === undefined) return told;
  const { captureId, objectPrefix } = record;
  // The same capture, for who follows it; a lock's holder is another one.
  const twin = answer.reason === 'AlreadyCaptured' ? { captureId, objectPrefix } : {};
  return withIndexEntry({ ...told, ...twin }, index, record);
}
