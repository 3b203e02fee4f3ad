import type { RegisteredCluster } from '../cluster-access.ts';
import { CaptureError } from '../errors.ts';
import { bodyOf, type ApiCall } from './api-call.ts';
import { ClusterConnection } from './connection.ts';

/** Who the API says one is. */
export interface ReviewedUser {
  readonly userName: string;
  readonly groups: readonly string[];
}

/**
 * Asks the API server who the caller is (authentication.k8s.io/v1 SelfSubjectReview, Kubernetes 1.28). Whoever is let in at all may ask.
 * @returns `refused` when the server answers and does not know the caller; `unknown` when it does not say.
 * @throws CaptureError InvalidConfiguration, ClusterUnavailable (retryable): it does not answer.
 */
export async function reviewSelf(
  cluster: string | RegisteredCluster,
): Promise<ReviewedUser | 'refused' | 'unknown'> {
  const apiVersion = 'authentication.k8s.io/v1';
  const call: ApiCall = {
    ...{ verb: 'create', resource: 'selfsubjectreviews', namespace: '', apiVersion },
    body: { apiVersion, kind: 'SelfSubjectReview' },
  };
  try {
    const answer = await new ClusterConnection(cluster).request(call);
    if (answer.status === 404) return 'unknown';
    const { status } = bodyOf(call, answer) as {
      status?: { userInfo?: { username?: string; groups?: readonly string[] } };
    };
    const { username = '', groups = [] } = status?.userInfo ?? {};
    return { userName: username, groups };
  } catch (error) {
    if (!(error instanceof CaptureError) || error.code !== 'ClusterForbidden') throw error;
    // 403: known, and not even allowed to ask who it is.
    return error.details['status'] === 401 ? 'refused' : 'unknown';
  }
}
