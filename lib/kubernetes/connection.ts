import http from 'node:http';
import https from 'node:https';
import type { RegisteredCluster } from '../cluster-access.ts';
import { CaptureError, messageOf } from '../errors.ts';
import { faultOf, pathOf, unavailable, type ApiAnswer, type ApiCall } from './api-call.ts';
import {
  kubeconfigLogin,
  registeredLogin,
  type AuthenticatedOptions,
  type Login,
} from './login.ts';

/** Explicit for every call: a request without a deadline is a function that never returns. */
export const defaultTimeouts = { connectMilliseconds: 5_000, requestMilliseconds: 10_000 };
/** A page of 500 pods is 5 to 10 MB; a single object is at most 1.5 MB in etcd. */
const maxBodyBytes = 64 * 1024 * 1024;

/**
 * The way to one cluster: the client library's authentication, our own requests, timeouts and bounds.
 * Its generated API classes are left out: they have no timeouts, they turn times into Dates, and their watch
 * swallows lines that do not parse.
 */
export class ClusterConnection {
  readonly server: URL;
  readonly #login: Login;

  readonly timeouts: Readonly<typeof defaultTimeouts>;

  /**
   * @param cluster a kubeconfig's text, or a registered cluster.
   * @throws CaptureError InvalidConfiguration
   */
  constructor(cluster: string | RegisteredCluster, timeouts = defaultTimeouts) {
    this.#login = typeof cluster === 'string' ? kubeconfigLogin(cluster) : registeredLogin(cluster);
    this.server = this.#login.server;
    this.timeouts = timeouts;
  }

  /** The URL of a call, below whatever path the server has. */
  urlOf(call: ApiCall): URL {
    return new URL(this.server.pathname.replace(/\/$/, '') + pathOf(call), this.server);
  }

  async authenticate(call: ApiCall, fresh = false): Promise<AuthenticatedOptions> {
    try {
      return await this.#login.authenticate(fresh);
    } catch (error) {
      if (error instanceof CaptureError) throw error;
      throw unavailable(call, 'the kubeconfig yields no credentials', error);
    }
  }

  /**
   * Sends one request and reads its JSON answer. Answers that are neither a success nor a fault of access or
   * availability (404, 409, 410, 422…) are returned for the caller to understand. Where credentials can have been replaced, the
   * first 401 is answered by fresh ones.
   * @throws CaptureError ClusterUnavailable (retryable), ClusterForbidden.
   */
  async request(call: ApiCall): Promise<ApiAnswer> {
    const deadline = AbortSignal.timeout(this.timeouts.requestMilliseconds);
    try {
      let answer = await this.#ask(call, deadline, false);
      if (answer.status === 401 && this.#login.renewable) {
        answer = await this.#ask(call, deadline, true);
      }
      const fault = faultOf(call, answer);
      if (fault) throw fault;
      if (answer.status < 300 && answer.body === undefined) {
        throw unavailable(call, `HTTP ${answer.status} with a body that is not JSON`);
      }
      return answer;
    } catch (error) {
      if (error instanceof CaptureError) throw error;
      if (deadline.aborted) {
        throw unavailable(
          call,
          `no answer within ${this.timeouts.requestMilliseconds / 1_000} s`,
          error,
        );
      }
      throw unavailable(call, messageOf(error), error);
    }
  }

  /**
   * Opens a stream of lines: the head must arrive within the request timeout, the rest has no deadline here.
   * A status other than 200 is read as an answer.
   * @throws CaptureError ClusterUnavailable (retryable), ClusterForbidden.
   */
  async openStream(
    call: ApiCall,
    signal: AbortSignal,
  ): Promise<{ stream: http.IncomingMessage } | { answer: ApiAnswer }> {
    const head = new AbortController();
    const timer = setTimeout(() => head.abort(), this.timeouts.requestMilliseconds);
    try {
      const response = await this.#send(call, AbortSignal.any([signal, head.signal]));
      if (response.statusCode === 200) return { stream: response };
      const answer = { status: response.statusCode ?? 0, body: parse(await readBody(response)) };
      const fault = faultOf(call, answer);
      if (fault) throw fault;
      return { answer };
    } catch (error) {
      if (error instanceof CaptureError) throw error;
      const why = head.signal.aborted
        ? `no answer within ${this.timeouts.requestMilliseconds / 1_000} s`
        : messageOf(error);
      throw unavailable(call, why, error);
    } finally {
      clearTimeout(timer);
    }
  }

  async #ask(call: ApiCall, deadline: AbortSignal, fresh: boolean): Promise<ApiAnswer> {
    const response = await this.#send(call, deadline, fresh);
    const text = await readBody(response);
    return { status: response.statusCode ?? 0, body: parse(text) };
  }

  async #send(call: ApiCall, signal: AbortSignal, fresh = false): Promise<http.IncomingMessage> {
    const options = await this.authenticate(call, fresh);
    const body = call.body === undefined ? undefined : Buffer.from(JSON.stringify(call.body));
    const { connectMilliseconds } = this.timeouts;
    const send = this.server.protocol === 'https:' ? https.request : http.request;
    return new Promise((resolve, reject) => {
      const request = send(this.urlOf(call), {
        ...options,
        signal,
        method: methodOf(call),
        headers: {
          ...options.headers,
          accept: 'application/json',
          ...(body && {
            'content-type': call.contentType ?? 'application/json',
            'content-length': body.length,
          }),
        },
      });
      const timer = setTimeout(() => {
        request.destroy(new Error(`no connection within ${connectMilliseconds / 1_000} s`));
      }, connectMilliseconds);
      request.on('socket', (socket) => {
        if (socket.connecting) socket.once('connect', () => clearTimeout(timer));
        else clearTimeout(timer);
      });
      request.on('close', () => clearTimeout(timer));
      request.on('error', reject);
      request.on('response', resolve);
      request.end(body);
    });
  }
}

function methodOf(call: ApiCall): string {
  if (call.verb === 'create') return 'POST';
  return call.verb === 'patch' ? 'PATCH' : 'GET';
}

async function readBody(response: http.IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of response as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > maxBodyBytes) throw new Error(`the answer is larger than ${maxBodyBytes} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks, bytes).toString('utf8');
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined;
  }
}
