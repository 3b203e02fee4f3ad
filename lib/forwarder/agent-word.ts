import { CaptureError, messageOf } from '../errors.ts';
import type { ApiAnswer, Route } from './api.ts';
import type { Callers } from './callers.ts';

/** The node agent's service account (infra/kubernetes/components/node-agent). */
const agent = { namespace: 'heapcatch', serviceAccountName: 'heapcatch-agent' };

/**
 * A route for what a node's agent says about its own node: 401 without a valid token, 403 for one of somebody else or another
 * node, 400 for what is not valid, 503 where the token cannot be judged now.
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
    handle: async ({ bearerToken, body }) => {
      const asked = await callers.of(bearerToken);
      if (asked.outcome === 'unknown') return answerOf(503, 'the token cannot be judged now');
      if (asked.outcome === 'refused')
        return answerOf(401, 'accepted is a token of the node agent');
      const { namespace, serviceAccountName, nodeName } = asked.caller;
      if (namespace !== agent.namespace || serviceAccountName !== agent.serviceAccountName) {
        return answerOf(403, `accepted is ${agent.namespace}/${agent.serviceAccountName}`);
      }
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
