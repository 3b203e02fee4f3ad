import http from 'node:http';
import https from 'node:https';

/**
 * The body of a GET, as UTF-8. Follows no redirect: an answer must not lead anywhere else.
 * @throws Error saying why: a status other than 200, a body beyond the bound, no answer within the deadline, a fault of the network.
 */
export async function boundedGet(
  url: URL,
  options: {
    maxBytes: number;
    deadlineSeconds: number;
    accept: string;
    signal: AbortSignal;
  },
): Promise<string> {
  const deadline = AbortSignal.timeout(options.deadlineSeconds * 1_000);
  const signal = AbortSignal.any([options.signal, deadline]);
  const send = url.protocol === 'https:' ? https.get : http.get;
  try {
    const response = await new Promise<http.IncomingMessage>((resolve, reject) => {
      const headers = { accept: options.accept, 'user-agent': 'heapcatch' };
      // No agent: a kept connection would outlive the pod that answered on it.
      send(url, { signal, headers, agent: false }, resolve).on('error', reject);
    });
    if (response.statusCode !== 200) {
      response.destroy();
      throw new Error(`HTTP ${response.statusCode ?? 0}`);
    }
    const chunks: Buffer[] = [];
    let bytes = 0;
    for await (const chunk of response as AsyncIterable<Buffer>) {
      bytes += chunk.length;
      if (bytes > options.maxBytes) {
        response.destroy();
        throw new Error(`the answer is larger than ${options.maxBytes} bytes`);
      }
      chunks.push(chunk);
    }
    return Buffer.concat(chunks, bytes).toString('utf8');
  } catch (error) {
    if (!deadline.aborted) throw error;
    throw new Error(`no answer within ${options.deadlineSeconds} s`, { cause: error });
  }
}
