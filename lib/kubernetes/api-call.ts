import { CaptureError } from '../errors.ts';

/** One call, with the words in which RBAC grants it: a refusal can then say what to grant. */
export interface ApiCall {
  verb: 'get' | 'list' | 'watch' | 'create' | 'patch';
  /** Plural name with subresource, e.g. `pods/exec`. */
  resource: string;
  /** '' is all namespaces. */
  namespace: string;
  name?: string;
  /** What a proxied server is asked for, behind the subresource. */
  proxiedPath?: string;
  /** API group with version; the core group by default. */
  apiVersion?: string;
  query?: Readonly<Record<string, string | number | boolean | readonly string[]>>;
  body?: unknown;
  contentType?: string;
}

export interface ApiAnswer {
  status: number;
  body: unknown;
}

/** Path and query of a call. Every part is encoded: a name cannot leave its place. */
export function pathOf(call: ApiCall): string {
  const [resource = '', subresource] = call.resource.split('/');
  const apiVersion = call.apiVersion ?? 'v1';
  const parts = [apiVersion.includes('/') ? 'apis' : 'api', ...apiVersion.split('/')];
  if (call.namespace !== '') parts.push('namespaces', call.namespace);
  parts.push(resource);
  if (call.name !== undefined) parts.push(call.name);
  if (subresource !== undefined) parts.push(subresource);
  if (call.proxiedPath !== undefined) parts.push(call.proxiedPath);
  const query = new URLSearchParams();
  for (const [key, value] of Object.entries(call.query ?? {})) {
    for (const one of Array.isArray(value) ? (value as readonly string[]) : [value]) {
      query.append(key, String(one));
    }
  }
  const text = query.toString();
  return `/${parts.map(encodeURIComponent).join('/')}${text === '' ? '' : `?${text}`}`;
}

/** A call in words: `get pods "cart-7f" in namespace "shop"`. */
export function describe(call: ApiCall): string {
  const name = call.name === undefined ? '' : ` "${call.name}"`;
  const place = call.namespace === '' ? 'all namespaces' : `namespace "${call.namespace}"`;
  return `${call.verb} ${call.resource}${name} in ${place}`;
}

/** What a Kubernetes Status object says, as far as it is used here. */
export interface ApiStatus {
  message: string;
  reason: string;
  code: number | undefined;
  causes: readonly { reason?: string; message?: string; field?: string }[];
}

/** Reads a Status object; anything else gives empty words. */
export function statusOf(body: unknown): ApiStatus {
  const status = (typeof body === 'object' && body !== null ? body : {}) as {
    message?: unknown;
    reason?: unknown;
    code?: unknown;
    details?: { causes?: unknown } | null;
  };
  return {
    message: typeof status.message === 'string' ? status.message.slice(0, 500) : '',
    reason: typeof status.reason === 'string' ? status.reason : '',
    code: typeof status.code === 'number' ? status.code : undefined,
    causes: Array.isArray(status.details?.causes)
      ? (status.details.causes as ApiStatus['causes'])
      : [],
  };
}

/** The cluster cannot be reached or cannot answer now. */
export function unavailable(call: ApiCall, why: string, cause?: unknown): CaptureError {
  return new CaptureError('ClusterUnavailable', `Cannot ${describe(call)}: ${why}.`, {
    retryable: true,
    ...(cause === undefined ? {} : { cause }),
  });
}

/** The fault that an HTTP status means, or `undefined` for an answer that the caller has to understand. */
export function faultOf(call: ApiCall, answer: ApiAnswer): CaptureError | undefined {
  const { message } = statusOf(answer.body);
  if (answer.status === 401 || answer.status === 403) {
    return new CaptureError(
      'ClusterForbidden',
      `The cluster refuses to ${describe(call)} (HTTP ${answer.status}): ${message || 'no reason given'}`,
      {
        details: {
          verb: call.verb,
          resource: call.resource,
          namespace: call.namespace,
          status: answer.status,
        },
      },
    );
  }
  if (answer.status === 408 || answer.status === 429 || answer.status >= 500) {
    return unavailable(call, `HTTP ${answer.status}${message ? ` (${message})` : ''}`);
  }
  return undefined;
}

/** The body of a success; throws for every other answer. */
export function bodyOf(call: ApiCall, answer: ApiAnswer): unknown {
  if (answer.status >= 200 && answer.status < 300) return answer.body;
  throw refused(call, answer);
}

/** An answer that repeating the call does not change: the object is invalid, or the API has no such resource. */
export function refused(call: ApiCall, answer: ApiAnswer): CaptureError {
  const { message } = statusOf(answer.body);
  return new CaptureError(
    'ClusterRefused',
    `The cluster does not accept to ${describe(call)} (HTTP ${answer.status}): ${message || 'no reason given'}`,
    { details: { verb: call.verb, resource: call.resource, status: answer.status } },
  );
}
