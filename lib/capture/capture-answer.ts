import type { ClaimRefusal } from '../claim/claim-store.ts';
import type { IndexPlace } from '../dump-index/index-place.ts';
import type { ErrorCode } from '../errors.ts';
import type { Rung } from '../policy/policy.ts';
import type { SkipReason } from '../policy/skip.ts';
import type { SignalReason } from '../signal/signal.ts';

/** Why a decision to dump came to nothing before anything was claimed, or to an end that is nobody's fault. */
export type StartRefusal = 'NoUsableRung' | 'NoDumpDirectory' | 'DumpTooLarge' | 'ClaimLost';

/**
 * How a dump begins: `StartUnconfirmed` when the cluster's reply was lost and the agent may be at work; `Recorded` when there
 * is nothing that an agent could reach, and the end of a life alone is put on record.
 */
export type StartReason = 'Started' | 'StartUnconfirmed' | 'DryRun' | 'Recorded';

interface AnswerBase {
  /** Names and numbers with units. */
  message: string;
  captureId?: string;
  objectPrefix?: string;
  rung?: Rung;
  /** Where the index entry of the capture is, or will be when it is sealed: of this one, or of the one that stands in the way. */
  indexEntry?: IndexPlace;
  /** What happens now, in a sentence, for the person at the console. */
  next: string;
}

/** What the capture function answers for one signal. */
export type CaptureAnswer =
  | (AnswerBase & { decision: 'dump'; reason: StartReason })
  | (AnswerBase & {
      decision: 'skip';
      /**
       * `AlertNotFiring`: there is no signal to decide on. `PodAmbiguous`: a pod was named, and it is not known which one is
       * meant.
       */
      reason: SkipReason | ClaimRefusal | StartRefusal | 'AlertNotFiring' | 'PodAmbiguous';
    })
  /** `reason` is an error's code, or the word with which the agent refused. */
  | (AnswerBase & { decision: 'failed'; reason: ErrorCode | (string & {}) });

/**
 * Skips that come with every failing probe of every pod, or with every repeat of a signal: they are logged,
 * but as Events they would bury the one that matters.
 */
const quietReasons: ReadonlySet<string> = new Set<CaptureAnswer['reason']>([
  'BelowFailureThreshold',
  'ReadinessProbeFailing',
  'StartupProbeFailing',
  'HeapAlreadyGone',
  'AlreadyCaptured',
  'DeletedHealthy',
  'DeletionNotWanted',
  // Nothing of it belongs to the pod: a question, or a capture that another run has in hand.
  'DryRun',
  'ClaimLost',
]);

const hookQuietReasons: ReadonlySet<string> = new Set<CaptureAnswer['reason']>([
  'AlreadyCaptured',
  'DryRun',
  'ClaimLost',
]);

/**
 * Whether this answer is only logged and not shown as an Event on the pod. The end of a container is one of those that
 * come all the time, most of them with nothing left: only what was found is told, when it is sealed.
 */
export function isQuiet(answer: CaptureAnswer, signalReason: SignalReason): boolean {
  // A hook that holds its pod waits for the word; only of a twin there is one already.
  if (signalReason === 'PreStop') return hookQuietReasons.has(answer.reason);
  const isEnd = signalReason === 'ContainerTerminated' || signalReason === 'PodEvicted';
  if (isEnd && answer.decision !== 'failed') return true;
  return quietReasons.has(answer.reason);
}

const nextSteps: Readonly<Partial<Record<CaptureAnswer['reason'], string>>> = {
  Started: 'the agent is at work; the pod gets an Event when the capture is sealed',
  StartUnconfirmed:
    'if the agent did start, the capture is sealed as usual; if not, sweep frees the lock when the lease ends',
  Recorded: 'seal writes the index entry, with the tail of the output where it may read it',
  DryRun: 'nothing was claimed or started; send it again without dryRun to capture',
  PodNotFound:
    'look the name up (kubectl get pods -A): a pod that was replaced is gone, and its captures are in the index',
  AlreadyCaptured: 'nothing to do: this trouble has its capture',
  LockHeld: 'another replica is being captured; send it again when that one is sealed',
  Cooldown: 'send it again when the cooldown is over, or shorten heapcatch.dev/cooldown',
  RateLimited: 'send it again within the hour, or raise heapcatch.dev/dumps-per-hour',
  NodeBusy: 'another pod of this node is being captured; send it again when that one is sealed',
  ClusterBusy: 'all slots of the cluster are taken; send it again when one is free',
  NoUsableRung:
    'install the node agent, or configure the agent image, or name another rung in heapcatch.dev/rungs',
  NoDumpDirectory:
    'give the container an emptyDir on disk, or ask for evidence without the heap dump',
  EncryptionUnavailable:
    'give the stack a key (parameter encryptionKeyArn) that its capture function may use, or take back heapcatch.dev/encrypt',
  InvalidPolicy: 'correct the annotations of the pod',
};

/** The sentence for the person at the console. */
export function nextOf(
  decision: CaptureAnswer['decision'],
  reason: CaptureAnswer['reason'],
): string {
  const fallback =
    decision === 'failed'
      ? 'limits are given back; the next signal tries again'
      : 'nothing was claimed or started';
  return nextSteps[reason] ?? fallback;
}
