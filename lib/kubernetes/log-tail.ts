import { CaptureError, messageOf } from '../errors.ts';
import { refused, unavailable, type ApiCall } from './api-call.ts';
import type { ClusterConnection } from './connection.ts';

/** Lines from the end that are asked for. */
const tailLineCount = 2_000;
/** Lines can be long: so much is read for the last bytes of it. */
const maxReadBytes = 8 * 1024 * 1024;
const deadlineMilliseconds = 10_000;

/**
 * The last bytes of a container's output, at most 2,000 lines and maxBytes; beyond 8 MiB in those lines, of their first
 * 8 MiB. `undefined` when the pod, the container or that life's output is not there any more.
 * @throws CaptureError ClusterForbidden (names pods/log), ClusterUnavailable (retryable).
 */
export async function readLogTail(
  connection: ClusterConnection,
  { namespace, podName, containerName }: Record<'namespace' | 'podName' | 'containerName', string>,
  { previous, maxBytes }: { previous: boolean; maxBytes: number },
): Promise<Uint8Array | undefined> {
  const call: ApiCall = {
    verb: 'get',
    resource: 'pods/log',
    namespace,
    name: podName,
    query: {
      container: containerName,
      previous,
      tailLines: tailLineCount,
      limitBytes: maxReadBytes,
    },
  };
  const deadline = AbortSignal.timeout(deadlineMilliseconds);
  const opened = await connection.openStream(call, deadline);
  if ('answer' in opened) {
    // 400: there is no such life, or its output is gone.
    if (opened.answer.status === 404 || opened.answer.status === 400) return undefined;
    throw refused(call, opened.answer);
  }
  let kept = Buffer.alloc(0);
  try {
    for await (const piece of opened.stream as AsyncIterable<Buffer>) {
      kept = Buffer.concat([kept, piece]);
      if (kept.length > 2 * maxBytes) kept = Buffer.from(kept.subarray(-maxBytes));
    }
  } catch (error) {
    if (error instanceof CaptureError) throw error;
    throw unavailable(call, messageOf(error), error);
  } finally {
    opened.stream.destroy();
  }
  return kept.length === 0 ? undefined : kept.subarray(-maxBytes);
}
