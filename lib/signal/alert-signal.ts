import { CaptureError } from '../errors.ts';
import { shown, validate } from '../validation.ts';
import { observedTimeOf, subjectOf, type Alert } from './alert.ts';
import { signalSchema, type Signal } from './signal.ts';

/**
 * The signal of an alert that reached the functions without the forwarder. There is no index of pods here: the pod is read by
 * name, so labels or dimensions must name it with its namespace. The uid is not known; a pod or container that was replaced
 * under the name is told by its start, which lies after the alert (decide: ContainerRestarted).
 * @param context toldTime is RFC 3339, of the envelope; clusterName stands in where the alert names none.
 * @throws CaptureError InvalidSignal: which of cluster, namespace and pod is missing or no name.
 */
export function signalOfAlert(
  alert: Alert,
  context: { toldTime: string; clusterName: string | undefined },
): Signal {
  const subject = subjectOf(alert.labels);
  const cluster = alert.labels.get('cluster') ?? '';
  const clusterName = cluster === '' ? context.clusterName : cluster;
  const { namespace, podName, podUid, containerName, podIP } = subject;
  const missing = [
    ...(clusterName === undefined ? ['cluster (this function has no default one)'] : []),
    ...(namespace === undefined ? ['namespace'] : []),
    ...(podName === undefined ? ['pod'] : []),
  ];
  if (missing.length > 0) {
    const hint =
      podIP === undefined
        ? ''
        : `; the instance ${podIP} can be resolved by the forwarder’s webhook only, which knows the pods`;
    throw new CaptureError(
      'InvalidSignal',
      `alert ${shown(alert.alertName)} does not say of which pod it is: labels (of an alarm: dimensions) are missing for ${missing.join(', ')}${hint}`,
    );
  }
  const raw = {
    schemaVersion: 1,
    clusterName,
    namespace,
    podName,
    podUid,
    containerName,
    reason: 'AlertFiring',
    observedTime: observedTimeOf(alert, context.toldTime),
    alertName: alert.alertName,
  };
  return validate(signalSchema, raw, 'InvalidSignal', `alert ${shown(alert.alertName)}`);
}
