// Alertmanager's webhook body, version 4: https://prometheus.io/docs/alerting/latest/configuration/#webhook_config
import { CaptureError, messageOf } from '../errors.ts';
import { isJsonObject, shown, type JsonObject } from '../validation.ts';
import { alertNameOf, identityOf, readAlertTime, type Alert } from './alert.ts';

/** Alerts that are read of one body. */
export const maxAlertCount = 1_000;
const maxLabelCount = 256;

export type AlertReading = { alert: Alert } | { fault: CaptureError };

export interface AlertmanagerBody {
  /** One for each alert, in order. */
  readings: readonly AlertReading[];
  /** Alerts beyond the first 1,000, which are not read. */
  unreadCount: number;
  /** Alerts that the sender itself left out (`max_alerts` of the receiver). */
  truncatedCount: number;
}

/** Whether it looks like one: a list of alerts beside a receiver or a status. */
export function isAlertmanagerBody(body: unknown): body is JsonObject {
  return (
    isJsonObject(body) && Array.isArray(body['alerts']) && ('receiver' in body || 'status' in body)
  );
}

/**
 * Reads a body of Alertmanager's webhook, or of the JSON template with which Amazon Managed Prometheus sends to SNS (no
 * `version`, Go's times). What is wrong with one alert is a `fault` in its place and does not spoil the others.
 * Of an alert are read status, labels, `startsAt` and `fingerprint`; `endsAt` says nothing that `status` does not.
 * @throws CaptureError InvalidSignal for a body that is none, or of another version.
 */
export function parseAlertmanagerBody(body: unknown): AlertmanagerBody {
  if (!isAlertmanagerBody(body)) {
    throw invalid('body', body, 'accepted is the webhook body of Alertmanager, version 4');
  }
  const { version = '4', truncatedAlerts } = body;
  if (version !== '4') throw invalid('version', version, 'accepted is "4"');
  const alerts = body['alerts'] as readonly unknown[];
  const readings = alerts
    .slice(0, maxAlertCount)
    .map((raw, index) => readAlert(raw, `alerts.${index}`, body['status']));
  const truncatedCount = Number.isSafeInteger(truncatedAlerts) ? Number(truncatedAlerts) : 0;
  return {
    readings,
    unreadCount: Math.max(0, alerts.length - maxAlertCount),
    truncatedCount: Math.max(0, truncatedCount),
  };
}

function readAlert(raw: unknown, field: string, groupStatus: unknown): AlertReading {
  try {
    if (!isJsonObject(raw)) throw invalid(field, raw, 'accepted is an object');
    const labels = readLabels(raw['labels'], `${field}.labels`);
    const { status = groupStatus, fingerprint } = raw;
    if (status !== 'firing' && status !== 'resolved') {
      throw invalid(`${field}.status`, status, 'accepted are "firing" and "resolved"');
    }
    const startsTime = timeOf(raw['startsAt'], `${field}.startsAt`);
    const known = typeof fingerprint === 'string' && /^[0-9a-f]{1,64}$/.test(fingerprint);
    const alert: Alert = {
      ...alertNameOf(labels.get('alertname')),
      firing: status === 'firing',
      ...(startsTime === undefined ? {} : { startsTime }),
      labels,
      identity: known ? fingerprint : identityOf(labels),
    };
    return { alert };
  } catch (error) {
    if (error instanceof CaptureError) return { fault: error };
    throw error;
  }
}

/** A map, since a label may be called `__proto__`. */
function readLabels(raw: unknown, field: string): ReadonlyMap<string, string> {
  if (raw === undefined || raw === null) return new Map();
  if (!isJsonObject(raw)) throw invalid(field, raw, 'accepted is an object of texts');
  const entries = Object.entries(raw);
  if (entries.length > maxLabelCount) {
    throw invalid(field, entries.length, `accepted are at most ${maxLabelCount} labels`);
  }
  const labels = new Map<string, string>();
  for (const [name, value] of entries) {
    if (typeof value !== 'string') throw invalid(`${field}.${name}`, value, 'accepted is text');
    labels.set(name, value);
  }
  return labels;
}

function timeOf(value: unknown, field: string): string | undefined {
  try {
    return readAlertTime(value);
  } catch (error) {
    throw invalid(field, value, `accepted is an RFC 3339 time (${messageOf(error)})`);
  }
}

function invalid(field: string, value: unknown, accepted: string): CaptureError {
  const message = `${field.slice(0, 200)}: ${accepted}, got ${shown(value)}`;
  return new CaptureError('InvalidSignal', message);
}
