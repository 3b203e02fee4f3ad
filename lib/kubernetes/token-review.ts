import { bodyOf, type ApiCall } from './api-call.ts';
import { ClusterConnection } from './connection.ts';

/** Who a token of a service account speaks for, as the API server says. */
export interface ReviewedToken {
  readonly namespace: string;
  readonly serviceAccountName: string;
  /** Of a token that was projected into a pod: that pod. */
  readonly podName?: string;
  readonly podUid?: string;
  /** Of that pod; told by Kubernetes 1.32 and later. */
  readonly nodeName?: string;
}

/** `undefined` for what is no valid token of a service account for the audience. */
export type ReviewToken = (token: string) => Promise<ReviewedToken | undefined>;

interface TokenReview {
  status?: {
    authenticated?: boolean;
    audiences?: readonly string[];
    user?: { username?: string; extra?: Readonly<Record<string, readonly string[]>> };
  };
}

/**
 * Asks the API server about tokens (authentication.k8s.io/v1 TokenReview). Only a token that was made for this very
 * audience counts: one for the API server, which every pod has, does not.
 * @throws CaptureError InvalidConfiguration; its function ClusterUnavailable (retryable), ClusterForbidden, ClusterRefused.
 */
export function createTokenReview(options: { kubeconfig: string; audience: string }): ReviewToken {
  const connection = new ClusterConnection(options.kubeconfig);
  const apiVersion = 'authentication.k8s.io/v1';
  return async (token) => {
    const spec = { token, audiences: [options.audience] };
    const call: ApiCall = {
      ...{ verb: 'create', resource: 'tokenreviews', namespace: '', apiVersion },
      body: { apiVersion, kind: 'TokenReview', spec },
    };
    const { status } = bodyOf(call, await connection.request(call)) as TokenReview;
    // An API server that does not know audiences authenticates the token for its own, and names none.
    if (status?.authenticated !== true || !status.audiences?.includes(options.audience)) {
      return undefined;
    }
    const account = /^system:serviceaccount:([^:]+):([^:]+)$/.exec(status.user?.username ?? '');
    const [, namespace, serviceAccountName] = account ?? [];
    if (namespace === undefined || serviceAccountName === undefined) return undefined;
    const extra = (name: string): string | undefined =>
      status.user?.extra?.[`authentication.kubernetes.io/${name}`]?.[0];
    const [podName, podUid, nodeName] = ['pod-name', 'pod-uid', 'node-name'].map(extra);
    return {
      ...{ namespace, serviceAccountName },
      ...(podName !== undefined && { podName }),
      ...(podUid !== undefined && { podUid }),
      ...(nodeName !== undefined && { nodeName }),
    };
  };
}
