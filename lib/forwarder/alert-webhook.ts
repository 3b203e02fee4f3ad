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
const strangerLogMilliseconds = 10_000;
const acceptedCallers = 'accepted is a bearer token or a certificate of the client CA';

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
 * refused again; 503 while the pods are not known or the tokens cannot be read, upon which Alertmanager tries again (it does
 * so for 5xx only).
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
  #lastStrangerLogTime = Number.NEGATIVE_INFINITY;

  constructor(options: AlertWebhookOptions) {
    this.#options = options;
  }

  async admit(caller: Caller): Promise<ApiAnswer | undefined> {
    if (!caller.clientCertified) {
      const refusal = await this.#refusalOf(caller.bearerToken);
      if (refusal !== undefined) {
        this.#logStranger(caller, refusal.explanation);
        return refusal.retryable
          ? this.#refuseRequest(503, 'TokensUnavailable', 'the tokens cannot be read')
          : this.#refuseRequest(401, 'Unauthorized', acceptedCallers);
      }
    }
    const unready = this.#options.unreadyReasons().join('; ').slice(0, 500);
    if (unready === '') return undefined;
    return this.#refuseRequest(503, 'NotReady', `the pods are not known yet: ${unready}`);
  }

  /** The explanation is for the log alone. */
  async #refusalOf(
    token: string | undefined,
  ): Promise<{ explanation: string; retryable?: true } | undefined> {
    const { tokens } = this.#options;
    if (tokens === undefined) {
      return { explanation: 'no client certificate, and no token file is configured' };
    }
    if (token === undefined) return { explanation: 'neither a token nor a client certificate' };
    const check = await tokens.check(token);
    if (check === 'right') return undefined;
    if (check === 'wrong') return { explanation: 'another token' };
    return { explanation: check.unavailable, retryable: true };
  }

  /** Not each of them: whoever reaches the port could fill the log. The metric counts all. */
  #logStranger({ remoteAddress }: Caller, explanation: string): void {
    const now = this.#options.time.now().getTime();
    if (now - this.#lastStrangerLogTime < strangerLogMilliseconds) return;
    this.#lastStrangerLogTime = now;
    const what = 'a caller of the alert webhook was refused';
    this.#options.log.warn(what, { remoteAddress, explanation });
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
