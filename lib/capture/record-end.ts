import type { CaptureRecord } from '../claim/capture-record.ts';
import { objectKeys } from '../dump-index/object-keys.ts';
import { verdictOf } from '../signal/ending.ts';
import { nextOf, type CaptureAnswer } from './capture-answer.ts';
import type { Manifest } from './manifest.ts';
import type { Clock, ObjectStore } from './ports.ts';

/**
 * Puts an end on record of which no agent can reach anything. It writes the manifest that an agent would have, with nothing
 * in it: seal then does all the rest, as for any capture, and the function needs no right to write into the index.
 */
export async function recordEnd(
  deps: { objects: Pick<ObjectStore, 'putObject'>; clock: Clock },
  record: CaptureRecord,
): Promise<CaptureAnswer> {
  const { captureId, fencingToken, objectPrefix, policy, signal, containerName } = record;
  const time = deps.clock().toISOString();
  const manifest: Manifest = {
    schemaVersion: 1,
    captureId,
    fencingToken,
    // None was used; the index entry names none, since the record has no start.
    rung: policy.rungs[0] ?? 'nodeAgent',
    agentVersion: 'none',
    times: { startTime: time, endTime: time },
    evidence: [],
    faults: [],
  };
  await deps.objects.putObject(
    objectKeys(objectPrefix).manifest,
    Buffer.from(JSON.stringify(manifest)),
    { contentType: 'application/json' },
  );
  const { cause } = verdictOf(signal, record.termination);
  const message = `container ${containerName} ended by ${cause}, and nothing of it can be reached: its end is put on record, capture ${captureId}`;
  const reason = 'Recorded';
  const next = nextOf('dump', reason);
  return { decision: 'dump', reason, message, captureId, objectPrefix, next };
}
