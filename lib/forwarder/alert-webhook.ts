import { CaptureError, messageOf } from '../errors.ts';
import type { Logger } from '../log.ts';
import { observedTimeOf, type Alert } from '../signal/alert.ts';
import {
  parseAlertmanagerBody,
  type AlertmanagerBody,
  type AlertReading,
} from '../signal/from-alertmanager.ts';
import { resolveAlert, type AlertPlace, type AlertRefusal } from '../signal/resolve-alert.ts';
import type { AlertMetrics } from './alert-metrics.ts';
import type { ApiAnswer, ApiRequest, Caller, Route } from './api.ts';
import { RecentMap } from './recent-map.ts';
import type { IntakeRefusal, SignalIntake } from './signal-intake.ts';
import type { Time } from './time.ts';
import type { TokenFile } from './token-file.ts';

/** Some 1,000 alerts with twenty labels and long annotations. */
export const maxAlertBodyBytes = 2 * 1024 * 1024;
/** An alert that goes on firing is told to the functions once in this time at most. */
export const alertRepeatSeconds = 3_600;
const maxRememberedAlertCount = 10_000;

/** What became of one alert. */
export interface AlertAnswer {
  outcome: 'sent' | 'ignored' | 'refused';
  /** Absent of one that was sent. */
  reason?: 'Resolved' | 'Repeat' | AlertRefusal | IntakeRefusal | 'InvalidAlert';
  message?: string;
  alertName?: string;
  namespace?: string;
  podName?: string;
  containerName?: string;
}

export interface AlertWebhookOptions extends AlertPlace {
  intake: Pick<SignalIntake, 'submit'>;
  /** Absent: only callers with a client certificate are let in. */
  tokens?: Pick<TokenFile, 'check'> | undefined;
  /** Why the pods are not known yet; empty when they are. */
  unreadyReasons(): readonly string[];
  time: Pick<Time, 'now'>;
  metrics: AlertMetrics;
  log: Logger;
}

/**
 * `POST /v1/alerts`: takes Alertmanager's webhook. Answers 200 with what became of each alert; 401 and 400 for what would be
 * refused again; 503 while the pods are not known, upon which Alertmanager tries again (it does so for 5xx only).
 * Source: https://github.com/prometheus/alertmanager, notify/webhook.
 */
export function alertRoute(options: AlertWebhookOptions): Route {
  const webhook = new AlertWebhook(options);
  return {
    method: 'POST',
    path: '/v1/alerts',
    maxBodyBytes: maxAlertBodyBytes,
    admit: (caller) => webhook.admit(caller),
    handle: (request) => Promise.resolve(webhook.handle(request)),
  };
}

class AlertWebhook {
  readonly #options: AlertWebhookOptions;
  /** When each firing of each alert was last told, in milliseconds. */
  readonly #told = new RecentMap<number>(maxRememberedAlertCount);

  constructor(options: AlertWebhookOptions) {
    this.#options = options;
  }

  async admit(caller: Caller): Promise<ApiAnswer | undefined> {
    if (!caller.clientCertified) {
      const stranger = await this.#strangerBecause(caller.bearerToken);
      if (stranger !== undefined) {
        this.#options.log.warn('a caller of the alert webhook was refused', {
          remoteAddress: caller.remoteAddress,
          explanation: stranger,
        });
        return this.#refuseRequest(
          401,
          'Unauthorized',
          'accepted is a bearer token or a client certificate of the configured CA',
        );
      }
    }
    const unready = this.#options.unreadyReasons();
    if (unready.length === 0) return undefined;
    return this.#refuseRequest(
      503,
      'NotReady',
      `the pods are not known yet: ${unready.join('; ').slice(0, 500)}`,
    );
  }

  /** For the log alone. */
  async #strangerBecause(token: string | undefined): Promise<string | undefined> {
    const { tokens } = this.#options;
    if (tokens === undefined) return 'no client certificate, and no token file is configured';
    if (token === undefined) return 'neither a bearer token nor a client certificate';
    const check = await tokens.check(token);
    if (check === 'right') return undefined;
    return check === 'wrong' ? 'another token' : check.unavailable;
  }

  handle({ body }: Pick<ApiRequest, 'body'>): ApiAnswer {
    let parsed: AlertmanagerBody;
    try {
      parsed = parseAlertmanagerBody(jsonOf(body));
    } catch (error) {
      if (!(error instanceof CaptureError)) throw error;
      return this.#refuseRequest(400, 'InvalidBody', messageOf(error));
    }
    const { readings, unreadCount, truncatedCount } = parsed;
    const answers = readings.map((reading) => this.#answer(reading));
    this.#options.metrics.alerts.inc({ outcome: 'refused', reason: 'Unread' }, unreadCount);
    if (unreadCount + truncatedCount > 0) {
      this.#options.log.warn('alerts were left out', { unreadCount, truncatedCount });
    }
    return { status: 200, body: { alerts: answers, unreadCount, truncatedCount } };
  }

  #answer(reading: AlertReading): AlertAnswer {
    const answer =
      'fault' in reading
        ? refused('InvalidAlert', reading.fault.message)
        : this.#answerAlert(reading.alert);
    const { outcome, reason = '' } = answer;
    this.#options.metrics.alerts.inc({ outcome, reason });
    const { message: explanation, ...what } = answer;
    this.#options.log[outcome === 'refused' ? 'warn' : 'info']('alert', { ...what, explanation });
    return answer;
  }

  #answerAlert(alert: Alert): AlertAnswer {
    const { alertName } = alert;
    const named = alertName === undefined ? {} : { alertName };
    if (!alert.firing) return { outcome: 'ignored', reason: 'Resolved', ...named };
    const resolved = resolveAlert(alert, this.#options);
    if (resolved.outcome === 'refused') return { ...resolved, ...named };
    const { pod, containerName } = resolved;
    const { namespace, podName, podUid } = pod;
    const where = { ...named, namespace, podName, ...(containerName && { containerName }) };

    const now = this.#options.time.now();
    const lives = pod.containers.map(({ containerID }) => containerID);
    const firing = JSON.stringify([podUid, lives, alert.startsTime, alert.identity]);
    const toldBefore = this.#told.get(firing) ?? Number.NEGATIVE_INFINITY;
    if (now.getTime() - toldBefore < alertRepeatSeconds * 1000) {
      return { outcome: 'ignored', reason: 'Repeat', ...where };
    }
    const answer = this.#options.intake.submit({
      namespace,
      podName,
      podUid,
      ...(containerName === undefined ? {} : { containerName }),
      reason: 'AlertFiring',
      observedTime: observedTimeOf(alert, now.toISOString()),
      ...named,
    });
    if (answer.outcome === 'refused') return { ...answer, ...where };
    this.#told.set(firing, now.getTime());
    return { outcome: 'sent', ...where, containerName: answer.signal.containerName ?? '' };
  }

  #refuseRequest(status: number, reason: string, error: string): ApiAnswer {
    this.#options.metrics.requestsRefused.inc({ reason });
    return { status, body: { error } };
  }
}

function refused(reason: 'InvalidAlert', message: string): AlertAnswer {
  return { outcome: 'refused', reason, message };
}

/** @throws CaptureError InvalidSignal; V8's own words would quote the body. */
function jsonOf(body: Buffer): unknown {
  try {
    return JSON.parse(body.toString('utf8'));
  } catch {
    throw new CaptureError('InvalidSignal', `body: accepted is JSON, got ${body.length} bytes`);
  }
}
