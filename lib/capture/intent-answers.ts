import type { ClaimResult } from '../claim/claim-store.ts';
import { nextOf, type CaptureAnswer, type StartReason } from './capture-answer.ts';
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
