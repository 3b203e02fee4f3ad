import { CaptureError, messageOf } from '../errors.ts';
import type { ApiAnswer, Route } from './api.ts';
import type { Callers } from './callers.ts';

/** The node agent's service account (infra/kubernetes/components/node-agent). */
const agent = { namespace: 'heapcatch', serviceAccountName: 'heapcatch-agent' };

/**
 * A route for what a node's agent says about its own node: 401 without a valid token, 403 for one of somebody else or another
 * node, 400 for what is not valid, 503 where the token cannot be judged now. Nobody but an agent has a body read.
 * @param options.read throws CaptureError with this code for what is not valid.
 */
export function agentRoute<Word extends { nodeName: string }>(options: {
  readonly path: string;
  readonly maxBodyBytes: number;
  readonly callers: Pick<Callers, 'of'>;
  readonly read: (raw: unknown) => Word;
  readonly code: CaptureError['code'];
  readonly take: (word: Word) => ApiAnswer;
}): Route {
  const { path, maxBodyBytes, callers, read, code, take } = options;
  return {
    method: 'POST',
    ...{ path, maxBodyBytes },
    admit: async ({ bearerToken }) => (await agentOf(callers, bearerToken)).refusal,
    handle: async ({ bearerToken, body }) => {
      // Callers remember the answer that let it in.
      const { refusal, nodeName } = await agentOf(callers, bearerToken);
      if (refusal !== undefined) return refusal;
      try {
        const word = read(parsed(body));
        if (nodeName !== undefined && nodeName !== word.nodeName) {
          return answerOf(403, `the token is of an agent of node ${nodeName}`);
        }
        return take(word);
      } catch (error) {
        if (!(error instanceof CaptureError && error.code === code)) throw error;
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
