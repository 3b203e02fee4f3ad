import { Counter } from 'prom-client';
import type { ApiAnswer, Route } from './api.ts';
import type { Callers } from './callers.ts';
import type { ForwarderMetrics } from './metrics.ts';
import { maxWaitSeconds, type PreStopAnswer, type PreStopHolds } from './pre-stop.ts';

export const preStopPath = '/v1/pre-stop';

export interface PreStopRouteOptions {
  readonly holds: Pick<PreStopHolds, 'answer'>;
  readonly callers: Pick<Callers, 'of'>;
  /** Why the pods are not known yet; empty when they are. */
  readonly unreadyReasons: () => readonly string[];
  readonly metrics: ForwarderMetrics;
}

/**
 * `POST /v1/pre-stop?container=NAME&wait=SECONDS`: 200 with `hold` and why, after the wait (0 to 20, absent: 20) at the
 * latest; the container only where the pod has several. Whose pod it is says the token alone, which must be one that
 * was projected into that pod; nothing in the request can name another. 401 without a valid token, 403 for one that is of no pod, 400 for a parameter that is not known; 503 while the
 * token cannot be judged or the pods are not known: come again. All but the last say `"hold":false`.
 */
export function preStopRoute(options: PreStopRouteOptions): Route {
  const { holds, callers, unreadyReasons, metrics } = options;
  const answers = new Counter({
    name: 'heapcatch_pre_stop_answers_total',
    help: 'Answers to preStop hooks, by whether they hold the pod and why; a hook that is held asks every 20 s.',
    labelNames: ['hold', 'reason'],
    registers: [metrics.registry],
  });
  return {
    method: 'POST',
    path: preStopPath,
    maxBodyBytes: 0,
    handle: async ({ bearerToken, query, signal }) => {
      const asked = await callers.of(bearerToken);
      if (asked.outcome === 'unknown') return comeAgain('the token cannot be judged now');
      if (asked.outcome === 'refused') {
        return refused(401, 'accepted is a token of the audience heapcatch, projected into a pod');
      }
      const { namespace, podName, podUid } = asked.caller;
      if (podName === undefined || podUid === undefined) {
        return refused(403, 'accepted is a token that is bound to a pod');
      }
      const parameters = parametersOf(query);
      if (parameters === undefined) {
        const accepted = `container, a name, and wait, 0 to ${maxWaitSeconds} seconds, each once`;
        return refused(400, `accepted are the parameters ${accepted}`);
      }
      const unready = unreadyReasons().join('; ').slice(0, 500);
      if (unready !== '') return comeAgain(`the pods are not known yet: ${unready}`);
      const caller = { namespace, podName, podUid };
      const body: PreStopAnswer = await holds.answer(caller, parameters, signal);
      answers.inc({ hold: String(body.hold), reason: body.reason });
      return { status: 200, body };
    },
  };
}

function parametersOf(
  query: URLSearchParams,
): { containerName?: string; waitSeconds: number } | undefined {
  const names = [...query.keys()];
  if (new Set(names).size !== names.length) return undefined;
  if (names.some((name) => name !== 'container' && name !== 'wait')) return undefined;
  const containerName = query.get('container') ?? undefined;
  const wait = query.get('wait') ?? String(maxWaitSeconds);
  const waitSeconds = /^\d{1,2}$/.test(wait) ? Number(wait) : Infinity;
  if (waitSeconds > maxWaitSeconds) return undefined;
  if (containerName !== undefined && !/^[-a-z0-9]{1,63}$/.test(containerName)) return undefined;
  return { ...(containerName === undefined ? {} : { containerName }), waitSeconds };
}

/** `hold` comes first in every body: a shell looks for it. */
function refused(status: number, error: string): ApiAnswer {
  return { status, body: { hold: false, error } };
}

function comeAgain(error: string): ApiAnswer {
  return { status: 503, body: { error } };
}
