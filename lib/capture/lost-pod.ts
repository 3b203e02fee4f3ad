import type { CaptureRecord } from '../claim/capture-record.ts';
import type { FinishDeps } from './conclude-capture.ts';

/**
 * Whether the agent of a running capture is gone although its lease runs: it worked in the pod, and the API server does not
 * have this pod any more. An agent on the node outlives the pod, and may still send what it holds.
 * The API server can have forgotten a pod that a node which is cut off still runs. What such an agent sends after
 * the capture is finished is refused by the bucket, and a JVM that it still pauses serves nobody.
 * `false` where it cannot be known: the lease ends all the same.
 */
export async function lostItsPod(deps: FinishDeps, record: CaptureRecord): Promise<boolean> {
  const { captureId, started, clusterName, namespace, podName, podUid } = record;
  if (started === undefined || started.rung === 'nodeAgent') return false;
  try {
    const cluster = await deps.clusterOf(clusterName);
    const pod = await cluster.readPod(namespace, podName);
    if (pod?.podUid === podUid) return false;
    deps.logger.info('the pod of a capture is gone', { captureId, namespace, podName, podUid });
    return true;
  } catch (error) {
    deps.logger.warn('whether a pod is gone cannot be known', { captureId, error });
    return false;
  }
}
