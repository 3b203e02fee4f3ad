import type { WorkloadHistory } from '../claim/claim-store.ts';
import type { Signal } from '../signal/signal.ts';
import type { ContainerFacts, PodFacts } from './pod-facts.ts';
import type { Policy } from './policy.ts';

/** All that a decision rests on. */
export interface DecisionInput {
  signal: Signal;
  /** As read just now; `undefined` when there is no such pod. */
  pod: PodFacts | undefined;
  history: WorkloadHistory;
  policy: Policy;
  now: Date;
}

/** What is known once pod and container are found. */
export interface DecisionFacts extends DecisionInput {
  pod: PodFacts;
  container: ContainerFacts;
  /** Absent when nothing says that the container will be killed. */
  kill?: KillFacts;
}

/** The expected kill, as far as facts and signal tell. */
export interface KillFacts {
  sigkillTime: Date;
  /** Until then an agent of the policy's rungs can start; absent where the signal tells SIGKILL alone. */
  lastStartTime?: Date;
  /** The kubelet has begun: an Event or the pod says so, it is not only to be expected. */
  begun: boolean;
}
