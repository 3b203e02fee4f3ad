import type {
  BucketState,
  FunctionState,
  QueueState,
  TableState,
} from '../../aws/inspect-stack.ts';
import type { ClusterView } from '../cluster/cluster-text.ts';
import type { Right, WorkloadState } from '../../kubernetes/installation.ts';

/** What was seen of one link: found, at fault, or not looked at since another link has to hold first. */
export type Seen<T> =
  { readonly found: T } | { readonly fault: string } | { readonly notLookedAt: string };

/** Everything that is seen before anything is judged. */
export interface DoctorFacts {
  readonly stage: string;
  readonly now: Date;
  readonly caller: Seen<{ arn: string; region: string }>;
  readonly outputs: Seen<Readonly<Record<string, string>>>;
  readonly bucket: Seen<BucketState>;
  /** Whether what was put was read back as it was, and is gone again. */
  readonly roundTrip: Seen<'same' | 'different'>;
  readonly table: Seen<TableState>;
  readonly functions: readonly { readonly name: string; readonly seen: Seen<FunctionState> }[];
  readonly deadLetters: readonly { readonly name: string; readonly seen: Seen<QueueState> }[];
  /** The cluster that is looked at; absent when none is named and not exactly one is registered. */
  readonly clusterName: string | undefined;
  /** All that are registered. */
  readonly registrations: Seen<readonly ClusterView[]>;
  /** What the capture function answered to a dry run about a pod that is not there. */
  readonly dryRun: Seen<{
    readonly decision: string;
    readonly reason: string;
    readonly message: string;
  }>;
  readonly context: Seen<{ readonly contextName: string; readonly server: string }>;
  /** `undefined` is a namespace that is not there. */
  readonly namespaceLabels: Seen<Readonly<Record<string, string>> | undefined>;
  readonly forwarder: Seen<WorkloadState | undefined>;
  readonly forwarderConfig: Seen<Readonly<Record<string, string>> | undefined>;
  readonly agent: Seen<WorkloadState | undefined>;
  readonly jvmMonitors: Seen<boolean>;
  readonly forwarderRights: Seen<readonly Right[]>;
  readonly functionRights: Seen<readonly Right[]>;
  /** Whether the functions may start an agent by an ephemeral container. */
  readonly ephemeralContainers: Seen<boolean>;
  readonly forwarderMetrics: Seen<readonly string[]>;
}

export interface Finding {
  readonly link: string;
  readonly state: 'ok' | 'warning' | 'failed' | 'notLookedAt';
  readonly says: string;
  /** What to do about it. */
  readonly advice?: string;
}
