// CloudWatch alarms, in the three forms in which they can reach a function:
// SNS text: https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/Notify_Users_Alarm_Changes.html
// EventBridge and Lambda action: https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/cloudwatch-and-eventbridge.html
import { CaptureError } from '../errors.ts';
import { isJsonObject, shown, type JsonObject } from '../validation.ts';
import { alertNameOf, identityOf, readAlertTime, type Alert } from './alert.ts';

/** An alarm can watch ten metrics with up to thirty dimensions each. */
const maxMetricCount = 100;
const maxDimensionCount = 30;

/**
 * The labels that an alarm's dimensions stand for. Container Insights: FullPodName is the pod, PodName its workload, unless
 * the pod is all that there is, so it comes last.
 * Source: https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/Container-Insights-metrics-enhanced-EKS.html
 */
const labelDimensions: Readonly<Record<string, readonly string[]>> = {
  cluster: ['ClusterName', 'cluster'],
  namespace: ['Namespace', 'namespace'],
  pod: ['FullPodName', 'pod', 'pod_name', 'PodName'],
  container: ['ContainerName', 'container'],
};

/** Whether it looks like an alarm of CloudWatch. */
export function isAlarm(body: JsonObject): boolean {
  return ('AlarmName' in body && 'NewStateValue' in body) || body['source'] === 'aws.cloudwatch';
}

/**
 * Reads an alarm. It fires in the state ALARM; OK and INSUFFICIENT_DATA do not. Its labels are the dimensions of its metrics,
 * of which those of different metrics must not differ in what names the pod.
 * @throws CaptureError InvalidSignal, naming the field.
 */
export function parseAlarm(body: JsonObject): Alert {
  const sns = 'NewStateValue' in body;
  const inner = sns ? body : objectOf(body['alarmData'] ?? body['detail']);
  const innerState = objectOf(inner['state']);
  const name = sns ? inner['AlarmName'] : inner['alarmName'];
  const state = sns ? inner['NewStateValue'] : innerState['value'];
  const time = sns ? inner['StateChangeTime'] : innerState['timestamp'];
  if (typeof name !== 'string') throw invalid('the name of the alarm', name, 'accepted is text');
  if (state !== 'ALARM' && state !== 'OK' && state !== 'INSUFFICIENT_DATA') {
    throw invalid('the alarm’s state', state, 'accepted are ALARM, OK and INSUFFICIENT_DATA');
  }
  const metrics = sns ? snsMetrics(inner) : listOf(objectOf(inner['configuration'])['metrics']);
  const labels = labelsOf(metrics.map(dimensionsOf));
  const startsTime = timeOf(time);
  return {
    ...alertNameOf(name),
    firing: state === 'ALARM',
    ...(startsTime === undefined ? {} : { startsTime }),
    labels,
    identity: identityOf(labels),
  };
}

/** `Trigger` is the metric itself, or holds a list of them for an alarm on an expression; a composite alarm has none. */
function snsMetrics(alarm: JsonObject): readonly unknown[] {
  const trigger = objectOf(alarm['Trigger']);
  return Array.isArray(trigger['Metrics']) ? listOf(trigger['Metrics']) : [trigger];
}

/** Dimensions are a list of names and values over SNS, an object over EventBridge. */
function dimensionsOf(raw: unknown): readonly (readonly [string, string])[] {
  const metric = objectOf(raw);
  const stat = objectOf(metric['MetricStat'] ?? metric['metricStat']);
  const inner = objectOf(stat['Metric'] ?? stat['metric'] ?? metric);
  const dimensions = inner['Dimensions'] ?? inner['dimensions'];
  const pairs: (readonly [unknown, unknown])[] = Array.isArray(dimensions)
    ? dimensions
        .map(objectOf)
        .map((one) => [one['name'] ?? one['Name'], one['value'] ?? one['Value']])
    : Object.entries(objectOf(dimensions));
  return pairs
    .slice(0, maxDimensionCount)
    .filter((pair): pair is readonly [string, string] =>
      pair.every((one) => typeof one === 'string'),
    );
}

function labelsOf(
  metrics: readonly (readonly (readonly [string, string])[])[],
): ReadonlyMap<string, string> {
  const labels = new Map<string, string>();
  for (const [label, names] of Object.entries(labelDimensions)) {
    const values = metrics.flatMap((dimensions) => {
      const name = names.find((known) => dimensions.some(([dimension]) => dimension === known));
      return dimensions.filter(([dimension]) => dimension === name).map(([, value]) => value);
    });
    const different = [...new Set(values)];
    if (different.length > 1) {
      const accepted = 'accepted is one, in all metrics of the alarm';
      throw invalid(`the alarm’s dimension for ${label}`, different.slice(0, 5), accepted);
    }
    if (different[0] !== undefined) labels.set(label, different[0]);
  }
  return labels;
}

function timeOf(value: unknown): string | undefined {
  try {
    return readAlertTime(value);
  } catch {
    throw invalid('the time of the alarm’s state', value, 'accepted is an RFC 3339 time');
  }
}

function invalid(field: string, value: unknown, accepted: string): CaptureError {
  return new CaptureError('InvalidSignal', `${field}: ${accepted}, got ${shown(value)}`);
}

function listOf(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value.slice(0, maxMetricCount) : [];
}

function objectOf(value: unknown): JsonObject {
  return isJsonObject(value) ? value : {};
}
