import type { EphemeralAgent } from '../capture/ports.ts';
import { CaptureError } from '../errors.ts';
import { bodyOf, statusOf, type ApiAnswer, type ApiCall } from './api-call.ts';
import type { ClusterConnection } from './connection.ts';
import type { PodObject } from './pod-object.ts';

export type ImagePullPolicy = 'Always' | 'IfNotPresent' | 'Never';

/**
 * Adds ephemeral containers, all or none, to exactly the pod that has this uid. The uid stands in the patch as well,
 * so that a pod which takes the name between the read and the patch is refused by the API itself.
 * They meet the restricted Pod Security Standard, and ask for no resources: the API forbids them here.
 * @throws CaptureError AgentStartFailed when the pod is there but does not take them; ClusterUnavailable
 *   (retryable), ClusterForbidden.
 */
export async function addEphemeralContainers(
  connection: ClusterConnection,
  pod: { namespace: string; podName: string; podUid: string },
  agents: readonly EphemeralAgent[],
  imagePullPolicy: ImagePullPolicy,
): Promise<'added' | 'exists' | 'gone'> {
  const names = agents.map(({ containerName }) => containerName);
  const before = await lookAt(connection, pod, names);
  if (before !== 'absent') return before;
  const call: ApiCall = {
    verb: 'patch',
    resource: 'pods/ephemeralcontainers',
    namespace: pod.namespace,
    name: pod.podName,
    contentType: 'application/strategic-merge-patch+json',
    body: {
      metadata: { uid: pod.podUid },
      spec: {
        ephemeralContainers: agents.map((agent) => ephemeralContainerOf(agent, imagePullPolicy)),
      },
    },
  };
  const answer = await connection.request(call);
  if (answer.status >= 200 && answer.status < 300) return 'added';
  if (answer.status === 404 || isOtherUid(answer)) return 'gone';
  // Another caller may have been first since the look: a container of this name may not be changed.
  const after = await lookAt(connection, pod, names);
  if (after !== 'absent') return after;
  const { message } = statusOf(answer.body);
  throw new CaptureError(
    'AgentStartFailed',
    `Pod "${pod.namespace}/${pod.podName}" does not take the ephemeral containers "${names.join('", "')}" ` +
      `(HTTP ${answer.status}): ${message || 'no reason given'}`,
    { retryable: answer.status === 409 },
  );
}

/** The API answers 422 with a cause on metadata.uid (measured on 1.34), or 409 where it checks preconditions. */
function isOtherUid(answer: ApiAnswer): boolean {
  const { causes, message } = statusOf(answer.body);
  return (
    (answer.status === 422 && causes.some(({ field }) => field === 'metadata.uid')) ||
    (answer.status === 409 && /\buid\b/i.test(message))
  );
}

async function lookAt(
  connection: ClusterConnection,
  { namespace, podName, podUid }: { namespace: string; podName: string; podUid: string },
  containerNames: readonly string[],
): Promise<'exists' | 'gone' | 'absent'> {
  const call: ApiCall = { verb: 'get', resource: 'pods', namespace, name: podName };
  const answer = await connection.request(call);
  if (answer.status === 404) return 'gone';
  const { metadata, spec } = bodyOf(call, answer) as PodObject;
  if (metadata.uid !== podUid) return 'gone';
  return spec.ephemeralContainers?.some(({ name }) => containerNames.includes(name))
    ? 'exists'
    : 'absent';
}

function ephemeralContainerOf(agent: EphemeralAgent, imagePullPolicy: ImagePullPolicy): object {
  return {
    name: agent.containerName,
    image: agent.image,
    imagePullPolicy,
    ...(agent.targetContainerName !== undefined && {
      targetContainerName: agent.targetContainerName,
    }),
    ...(agent.args && { args: agent.args }),
    // The kubelet expands $(NAME) in values; a doubled dollar stands for itself.
    env: Object.entries(agent.env).map(([name, value]) => ({
      name,
      value: value.replaceAll('$', '$$$$'),
    })),
    volumeMounts: agent.volumeMounts.map(({ volumeName, mountPath }) => ({
      name: volumeName,
      mountPath,
    })),
    terminationMessagePolicy: 'FallbackToLogsOnError',
    securityContext: {
      runAsNonRoot: true,
      runAsUser: agent.runAsUser,
      runAsGroup: agent.runAsGroup,
      allowPrivilegeEscalation: false,
      readOnlyRootFilesystem: true,
      capabilities: { drop: ['ALL'] },
      seccompProfile: { type: 'RuntimeDefault' },
    },
  };
}
