import type { CaptureRecord, CaptureStart } from '../claim/capture-record.ts';
import type { Rung } from '../policy/policy.ts';
import type { DataKey } from './ports.ts';
import { agentNameOf } from './start-agent.ts';
import type { Intent } from './weigh-signal.ts';

/** What the record says of a start on this rung, written before it. */
export function startOf(
  { plan, nodeAgent }: Intent,
  start: {
    record: CaptureRecord;
    uploadId: string | undefined;
    dataKey?: DataKey | undefined;
    rung: Rung;
    /** Codes of the rungs that were tried before. */
    refusals: CaptureStart['refusedRungs'];
    now: Date;
  },
): CaptureStart {
  const { record, uploadId, dataKey, rung, refusals, now } = start;
  const refusedDirectories = Object.fromEntries(
    plan.refusedDirectories.slice(0, 16).map(({ path, reason }) => [path.slice(0, 200), reason]),
  );
  return {
    rung,
    refusedRungs: { ...plan.refusedRungs, ...refusals },
    ...(uploadId === undefined ? {} : { uploadId }),
    agentName: agentNameOf(rung, { record, nodeAgent }),
    startTime: now.toISOString(),
    ...(dataKey && { encryption: dataKey.encryption }),
    ...(plan.heapDump.wanted ? {} : { heapDumpRefusal: plan.heapDump.reason }),
    refusedDirectories,
  };
}
