import { CaptureError, messageOf } from '../errors.ts';
import { maxReportBytes, sensorReportSchema } from '../signal/sensor-report.ts';
import { validate } from '../validation.ts';
import type { ApiAnswer, Route } from './api.ts';
import type { Callers } from './callers.ts';
import type { SensorWatch } from './sensor-watch.ts';

export const sensorPath = '/v1/sensor';

/** The node agent's service account (infra/kubernetes/components/node-agent). */
const agent = { namespace: 'heapcatch', serviceAccountName: 'heapcatch-agent' };

/**
 * `POST /v1/sensor`: a report of a node's agent. 200 with what became of it and beyond which levels the agent need not wait; 401 without a valid token, 403 for one of
 * somebody else or another node, 400 for a report that is not valid, 503 where the token cannot be judged now: the agent keeps it and comes again. Nobody but an agent has a
 * body read.
 */
export function sensorRoute({
  watch,
  callers,
}: {
  readonly watch: Pick<SensorWatch, 'take'>;
  readonly callers: Pick<Callers, 'of'>;
}): Route {
  return {
    method: 'POST',
    path: sensorPath,
    maxBodyBytes: maxReportBytes,
    admit: async ({ bearerToken }) => (await agentOf(callers, bearerToken)).refusal,
    handle: async ({ bearerToken, body }) => {
      // Callers remember the answer that let it in.
      const { refusal, nodeName } = await agentOf(callers, bearerToken);
      if (refusal !== undefined) return refusal;
      try {
        const report = validate(
          sensorReportSchema,
          parsed(body),
          'InvalidSensorReport',
          'sensor report',
        );
        if (nodeName !== undefined && nodeName !== report.nodeName) {
          return answerOf(403, `the token is of an agent of node ${nodeName}`);
        }
        return { status: 200, body: watch.take(report) };
      } catch (error) {
        if (!(error instanceof CaptureError && error.code === 'InvalidSensorReport')) throw error;
        return answerOf(400, messageOf(error));
      }
    },
  };
}

/** The node whose agent asks, where the API server says; or why it is refused. */
async function agentOf(
  callers: Pick<Callers, 'of'>,
  bearerToken: string | undefined,
): Promise<{ refusal?: ApiAnswer; nodeName?: string }> {
  const asked = await callers.of(bearerToken);
  if (asked.outcome === 'unknown') {
    return { refusal: answerOf(503, 'the token cannot be judged now') };
  }
  if (asked.outcome === 'refused') {
    return { refusal: answerOf(401, 'accepted is a token of the node agent') };
  }
  const { namespace, serviceAccountName, nodeName } = asked.caller;
  if (namespace !== agent.namespace || serviceAccountName !== agent.serviceAccountName) {
    const accepted = `${agent.namespace}/${agent.serviceAccountName}`;
    return { refusal: answerOf(403, `accepted is ${accepted}`) };
  }
  return nodeName === undefined ? {} : { nodeName };
}

function answerOf(status: number, error: string): ApiAnswer {
  return { status, body: { error } };
}

/** `undefined`, which no schema accepts, for what is no JSON. */
function parsed(body: Buffer): unknown {
  try {
    return JSON.parse(body.toString('utf8')) as unknown;
  } catch {
    return undefined;
  }
}
