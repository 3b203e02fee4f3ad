import { request as httpRequest } from 'node:http';
import { request as httpsRequest } from 'node:https';

/** The levels of 100 containers have half of it. */
const maxAnswerBytes = 64 * 1024;

/**
 * POSTs JSON over a connection of its own, so that of several replicas behind one address each has its turn. Global
 * `fetch` would do, but loads 13 MiB of code.
 * @throws the system's error; AbortError at the deadline.
 */
export function postJson(
  url: URL,
  {
    body,
    bearerToken,
    timeoutMilliseconds,
  }: {
    body: unknown;
    bearerToken: string;
    timeoutMilliseconds: number;
  },
): Promise<{ status: number; text: string }> {
  const bytes = Buffer.from(JSON.stringify(body));
  return new Promise((resolve, reject) => {
    const request = (url.protocol === 'https:' ? httpsRequest : httpRequest)(url, {
      method: 'POST',
      agent: false,
      signal: AbortSignal.timeout(timeoutMilliseconds),
      headers: {
        'content-type': 'application/json',
        'content-length': bytes.length,
        authorization: `Bearer ${bearerToken}`,
      },
    });
    request.once('error', reject);
    request.once('response', (response) => {
      let text = '';
      response.setEncoding('utf8');
      response.on('data', (chunk: string) => {
        text = (text + chunk).slice(0, maxAnswerBytes);
      });
      response.once('error', reject);
      response.once('close', () => {
        // A refusal can come before the body was read; the connection is not used again.
        request.destroy();
        if (response.complete) resolve({ status: response.statusCode ?? 0, text });
        else reject(new Error('answer cut off'));
      });
    });
    request.end(bytes);
  });
}
