import { jvmReleasedPath, jvmReleasedSchema, maxJvmReleasedBytes } from '../signal/jvm-released.ts';
import { validate } from '../validation.ts';
import { agentRoute } from './agent-word.ts';
import type { Route } from './api.ts';
import type { Callers } from './callers.ts';
import type { CapturesSeen } from './captures-seen.ts';
import type { PodCache } from './pod-cache.ts';

/**
 * `POST /v1/jvm-released`: a node agent has all of a dump that it needs the JVM for (lib/signal/jvm-released.ts). 200 with whether
 * the pod is known; refusals as agentRoute. A node speaks for its own pods alone.
 */
export function jvmReleasedRoute(options: {
  readonly pods: Pick<PodCache, 'getByUid'>;
  readonly captures: Pick<CapturesSeen, 'jvmReleased'>;
  readonly callers: Pick<Callers, 'of'>;
}): Route {
  const { pods, captures, callers } = options;
  const code = 'InvalidAgentWord';
  return agentRoute({
    ...{ path: jvmReleasedPath, maxBodyBytes: maxJvmReleasedBytes, callers, code },
    read: (raw) => validate(jvmReleasedSchema, raw, code, 'word of an agent'),
    take: ({ nodeName, podUid, captureId }) => {
      const known = pods.getByUid(podUid)?.nodeName === nodeName;
      if (known) captures.jvmReleased(podUid, captureId);
      return { status: 200, body: { known } };
    },
  });
}
