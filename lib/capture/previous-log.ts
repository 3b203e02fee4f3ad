import type { CaptureRecord } from '../claim/capture-record.ts';
import { objectKeysOf } from '../dump-index/object-keys.ts';
import { CaptureError, messageOf } from '../errors.ts';
import { withoutSecrets } from '../log.ts';
import { leftoverArtifacts } from '../policy/leftovers.ts';
import type { FinishDeps } from './conclude-capture.ts';

/** Of the tail of a container's output. */
export const maxPreviousLogBytes = 256 * 1024;

/**
 * Stores the tail of what the life that ended has printed, if the policy wants it and the function may read it. It comes from the API server, not from the pod: it is all there is of a pod that was evicted. It is not
 * taken of a pod that asks for encryption, whose key finishers cannot use. Never throws: this must not delay the index entry.
 */
export async function storePreviousLog(
  deps: Pick<FinishDeps, 'clusterOf' | 'objects' | 'logger'>,
  record: CaptureRecord,
): Promise<void> {
  const { captureId, policy, namespace, podName, containerName, podUid, termination } = record;
  const wanted = leftoverArtifacts(policy).includes('previousLog');
  if (!wanted || policy.encrypt || termination === undefined) return;
  const skipped = (reason: string): void =>
    deps.logger.info('previous log not stored', { captureId, podName, reason });
  try {
    const cluster = await deps.clusterOf(record.clusterName);
    const pod = await cluster.readPod(namespace, podName);
    const container = pod?.containers.find((one) => one.containerName === containerName);
    if (pod?.podUid !== podUid || container === undefined) return skipped('the pod is gone');
    const { lastTermination } = container;
    if (lastTermination?.finishedTime !== termination.finishedTime) {
      return skipped('the container has ended once more since');
    }
    const target = { namespace, podName, containerName };
    const order = { previous: container.running, maxBytes: maxPreviousLogBytes };
    const text = await cluster.readLogTail?.(target, order);
    if (text === undefined) return skipped('there is none');
    await deps.objects.putObject(objectKeysOf(record).evidence('previousLog'), text, {
      contentType: 'text/plain; charset=utf-8',
    });
  } catch (error) {
    const code = error instanceof CaptureError ? `${error.code}: ` : '';
    skipped(`${code}${withoutSecrets(messageOf(error))}`);
  }
}
