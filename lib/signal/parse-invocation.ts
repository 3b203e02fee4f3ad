import * as z from 'zod';
import { CaptureError } from '../errors.ts';
import { isJsonObject, shown, validate, type JsonObject } from '../validation.ts';
import type { Alert } from './alert.ts';
import { signalOfAlert } from './alert-signal.ts';
import { isAlarm, parseAlarm } from './from-alarm.ts';
import { isAlertmanagerBody, parseAlertmanagerBody } from './from-alertmanager.ts';
import { signalDetailType } from './signal-bus.ts';
import { signalSchema, type Signal } from './signal.ts';
import { signalOfSought, type SoughtPod } from './sought-pod.ts';

/** Signals in one invocation. SNS delivers 1 record at a time to Lambda, SQS at most 10,000, 10 by default. */
export const maxSignalCount = 1_000;
/** 1 MiB, the largest message of SQS and EventBridge (SNS: 256 KiB). */
const maxTextLength = 1_048_576;
/** The failure record of a Lambda function that got an EventBridge envelope over SNS, read from SQS, has four. */
const maxNesting = 5;

export type ParsedSignal =
  | { signal: Signal }
  | { fault: CaptureError }
  /** A manual request whose cluster or namespace is to be found. */
  | { sought: SoughtPod }
  /** An alert that was read and says that all is well again. */
  | { notFiring: string };

interface Context {
  /** Where it stands in the invocation, for messages: `Records.0.Sns.Message`. */
  field: string;
  nesting: number;
  /** RFC 3339; of the innermost envelope that has one, so that a repeated delivery has the same time. */
  time: string;
  clusterName: string | undefined;
}

/**
 * What a person sends: `{"pod":"cart-7f9c6d5b4-x2x8p"}`, with namespace and cluster where the name alone is not enough.
 * Names are checked as the Signal's fields that they become.
 */
const manualSchema = z.strictObject({
  namespace: signalSchema.shape.namespace.optional(),
  pod: signalSchema.shape.podName,
  cluster: signalSchema.shape.clusterName.optional(),
  container: signalSchema.shape.containerName,
  dryRun: z.boolean().optional(),
});

/**
 * Everything that can reach the capture function, as Signals: a bare Signal, a manual request, an EventBridge
 * envelope around one (by detail-type), alerts of CloudWatch, Alertmanager and Amazon Managed Prometheus, SNS and SQS
 * records whose text is any of these, dead letters of SNS, SQS and Lambda included. One entry for each Signal or alert, in
 * order; what is neither is a `fault` in its place and does not spoil the others. Never throws.
 *
 * A manual request takes the time of its envelope, or `now` without one; an alert see observedTimeOf.
 * Faults: InvalidSignal names the field and what is accepted; NotSupported is said to alerts as text.
 * None is retryable: the same bytes stay wrong.
 * @param options clusterName stands in where a manual request names a namespace and no cluster.
 */
export function parseInvocation(
  invocation: unknown,
  options: { now: Date; clusterName?: string },
): readonly ParsedSignal[] {
  const parsed = parseBody(invocation, {
    field: 'invocation',
    nesting: 0,
    time: options.now.toISOString(),
    clusterName: options.clusterName,
  });
  if (parsed.length <= maxSignalCount) return parsed;
  return [tooMany('invocation', parsed.length)];
}

function parseBody(body: unknown, outer: Context): readonly ParsedSignal[] {
  if (!isJsonObject(body)) return [invalid(outer, body, 'accepted is a JSON object')];
  if (outer.nesting > maxNesting) {
    return [invalid(outer, body, `accepted are at most ${maxNesting} envelopes in each other`)];
  }
  const context = { ...outer, nesting: outer.nesting + 1 };
  if ('Records' in body) return parseRecords(body['Records'], context);
  if (isAlarm(body))
    return [attempt(() => readAlert(parseAlarm(body), within(context, 'alarm', body['time'])))];
  if (isAlertmanagerBody(body)) return parseAlerts(body, context);
  if ('detail-type' in body) return parseEventBridge(body, context);
  if (body['Type'] === 'Notification' && 'Message' in body) {
    const inner = within(context, 'Message', body['Timestamp']);
    return parseText(body['Message'], inner);
  }
  // The record of a Lambda failure destination.
  if ('requestPayload' in body) {
    return parseBody(body['requestPayload'], within(context, 'requestPayload', body['timestamp']));
  }
  const read = (): ParsedSignal =>
    'schemaVersion' in body ? { signal: readSignal(body) } : readManual(body, context);
  return [attempt(read)];
}

function parseRecords(records: unknown, context: Context): readonly ParsedSignal[] {
  if (!Array.isArray(records) || records.length === 0) {
    return [invalid(within(context, 'Records'), records, 'accepted is a list of records')];
  }
  if (records.length > maxSignalCount) return [tooMany(`${context.field}.Records`, records.length)];
  return records.flatMap((record: unknown, index) => {
    const place = within(context, `Records.${index}`);
    if (isJsonObject(record) && isJsonObject(record['Sns'])) {
      const inner = within(place, 'Sns.Message', record['Sns']['Timestamp']);
      return parseText(record['Sns']['Message'], inner);
    }
    if (isJsonObject(record) && record['eventSource'] === 'aws:sqs') {
      return parseText(record['body'], within(place, 'body', sentTime(record)));
    }
    return [invalid(place, record, 'accepted are records of SNS (Sns.Message) and SQS (body)')];
  });
}

function parseText(text: unknown, context: Context): readonly ParsedSignal[] {
  if (typeof text !== 'string') return [invalid(context, text, 'accepted is JSON text')];
  if (text.length > maxTextLength) {
    const what = `${text.length} characters, accepted are at most ${maxTextLength}`;
    return [invalid(context, text, what)];
  }
  let body: unknown;
  try {
    body = JSON.parse(text);
  } catch {
    return [textAlertFault(text, context) ?? invalid(context, text, 'accepted is JSON text')];
  }
  return parseBody(body, context);
}

/**
 * The text that Alertmanager's own template makes for SNS, Amazon Managed Prometheus' included, is refused: a label's value that
 * holds a line break can forge another alert in it.
 */
function textAlertFault(text: string, { field }: Context): ParsedSignal | undefined {
  if (!/^\s*Alerts (Firing|Resolved):/.test(text)) return undefined;
  const message = `${field} is an alert as text, accepted is JSON: give Alertmanager the template of docs/ways/alertmanager.md`;
  return { fault: new CaptureError('NotSupported', message) };
}

function parseEventBridge(envelope: JsonObject, context: Context): readonly ParsedSignal[] {
  if (envelope['detail-type'] !== signalDetailType) {
    const place = within(context, 'detail-type');
    return [invalid(place, envelope['detail-type'], `accepted is "${signalDetailType}"`)];
  }
  return parseBody(envelope['detail'], within(context, 'detail', envelope['time']));
}

function readSignal(body: JsonObject): Signal {
  const signal = validate(signalSchema, body, 'InvalidSignal', 'signal');
  if (signal.podUid === undefined && signal.reason !== 'Manual') {
    throw new CaptureError(
      'InvalidSignal',
      `podUid is missing: a signal ${signal.reason} names the pod by name and uid`,
    );
  }
  return signal;
}

function readManual(
  body: JsonObject,
  { time, clusterName: defaultCluster }: Context,
): ParsedSignal {
  const request = validate(manualSchema, body, 'InvalidSignal', 'manual request');
  const { namespace, pod: podName, container: containerName, dryRun } = request;
  const clusterName = request.cluster ?? (namespace === undefined ? undefined : defaultCluster);
  const sought = { podName, namespace, clusterName, containerName, dryRun, observedTime: time };
  if (clusterName === undefined || namespace === undefined) return { sought };
  const signal = signalOfSought(sought, { clusterName, namespace });
  return { signal: validate(signalSchema, signal, 'InvalidSignal', 'manual request') };
}

function parseAlerts(body: JsonObject, context: Context): readonly ParsedSignal[] {
  try {
    const { readings, unreadCount } = parseAlertmanagerBody(body);
    const read = readings.map((reading) =>
      'fault' in reading ? reading : attempt(() => readAlert(reading.alert, context)),
    );
    const place = within(context, 'alerts');
    return unreadCount === 0 ? read : [...read, tooMany(place.field, read.length + unreadCount)];
  } catch (error) {
    if (error instanceof CaptureError) return [{ fault: error }];
    throw error;
  }
}

function readAlert(alert: Alert, { time, clusterName }: Context): ParsedSignal {
  if (alert.firing) return { signal: signalOfAlert(alert, { toldTime: time, clusterName }) };
  return { notFiring: `alert ${shown(alert.alertName)} is not firing (any more)` };
}

function attempt(read: () => ParsedSignal): ParsedSignal {
  try {
    return read();
  } catch (error) {
    if (error instanceof CaptureError) return { fault: error };
    throw error;
  }
}

function invalid(context: Context, value: unknown, accepted: string): ParsedSignal {
  const message = `${context.field}: ${accepted}, got ${shown(value)}`;
  return { fault: new CaptureError('InvalidSignal', message) };
}

function tooMany(field: string, count: number): ParsedSignal {
  const message = `${field} holds ${count} entries, accepted are at most ${maxSignalCount}`;
  return { fault: new CaptureError('InvalidSignal', message) };
}

function within(context: Context, name: string, time?: unknown): Context {
  const field = context.field === 'invocation' ? name : `${context.field}.${name}`;
  const known = typeof time === 'string' && isoTime.safeParse(time).success;
  return { ...context, field, time: known ? time : context.time };
}

const isoTime = signalSchema.shape.observedTime;

/** SQS gives the time of sending in milliseconds, as text. */
function sentTime(record: JsonObject): string | undefined {
  const attributes = record['attributes'];
  const text = isJsonObject(attributes) ? attributes['SentTimestamp'] : undefined;
  if (typeof text !== 'string' || !/^[0-9]{1,13}$/.test(text)) return undefined;
  return new Date(Number(text)).toISOString();
}
