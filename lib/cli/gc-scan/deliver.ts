import { setTimeout as sleep } from 'node:timers/promises';
import { CaptureError, messageOf } from '../../errors.ts';
import { withoutSecrets } from '../../log.ts';
import type { SignalBus } from '../../signal/signal-bus.ts';
import { signalSchema, type Signal } from '../../signal/signal.ts';
import type { GcScanOptions, SignalTarget } from './options.ts';

const webhookDeadlineMilliseconds = 10_000;
const webhookAttemptCount = 3;
const webhookRestMilliseconds = 1_000;

/** Sends the word of a crossed limit; what is sent where is decided by the options. */
export interface Delivery {
  /** @returns why something did not take it; empty when all did. Ends within a minute. */
  deliver(report: Record<string, unknown>, now: Date): Promise<readonly string[]>;
}

export function createDelivery(
  options: Pick<GcScanOptions, 'webhookUrl' | 'webhookToken' | 'signal'>,
  openBus: (busName: string) => Promise<SignalBus> = openEventBus,
): Delivery {
  return {
    async deliver(report, now) {
      const { webhookUrl, webhookToken, signal } = options;
      const faults: string[] = [];
      if (webhookUrl !== undefined) {
        const fault = await postReport(webhookUrl, report, webhookToken);
        if (fault !== undefined) faults.push(fault);
      }
      if (signal !== undefined) {
        const fault = await sendSignal(signal, now, openBus);
        if (fault !== undefined) faults.push(fault);
      }
      return faults;
    },
  };
}

/** The SDK of AWS loads only where a Signal is sent: it takes longer than most scans. */
async function openEventBus(busName: string): Promise<SignalBus> {
  const { createEventBridgeSignalBus } = await import('../../aws/event-bus.ts');
  return createEventBridgeSignalBus({ busName });
}

/** The Signal that a crossed limit is. */
export function signalOf(target: SignalTarget, now: Date): Signal {
  const { clusterName, namespace, podName, podUid, containerName } = target;
  return signalSchema.parse({
    schemaVersion: 1,
    clusterName,
    namespace,
    podName,
    podUid,
    ...(containerName === undefined ? {} : { containerName }),
    reason: 'GcLimitCrossed',
    observedTime: now.toISOString(),
  });
}

async function sendSignal(
  target: SignalTarget,
  now: Date,
  openBus: (busName: string) => Promise<SignalBus>,
): Promise<string | undefined> {
  try {
    const bus = await openBus(target.busName);
    const [refusal] = await bus.putSignals([signalOf(target, now)]);
    if (refusal === undefined) return undefined;
    return `bus ${target.busName} refused the signal: ${refusal.errorCode}: ${refusal.errorMessage}`;
  } catch (error) {
    return `the signal was not sent: ${messageOf(error)}`;
  }
}

/** Three attempts of ten seconds; an answer that stays the same (4xx but 408 and 429) ends them. */
async function postReport(
  url: string,
  report: Record<string, unknown>,
  token: string | undefined,
): Promise<string | undefined> {
  let fault = '';
  for (let attempt = 1; attempt <= webhookAttemptCount; attempt += 1) {
    if (attempt > 1) await sleep(webhookRestMilliseconds);
    try {
      await post(url, JSON.stringify(report), token);
      return undefined;
    } catch (error) {
      fault = messageOf(error, 300);
      if (error instanceof CaptureError && !error.retryable) break;
    }
  }
  return `the webhook ${withoutSecrets(url)} did not take the report: ${withoutSecrets(fault)}`;
}

async function post(url: string, body: string, token: string | undefined): Promise<void> {
  const response = await fetch(url, {
    method: 'POST',
    headers: {
      'content-type': 'application/json',
      ...(token === undefined || token === '' ? {} : { authorization: `Bearer ${token}` }),
    },
    body,
    // A token does not follow to another place.
    redirect: 'error',
    signal: AbortSignal.timeout(webhookDeadlineMilliseconds),
  });
  await response.body?.cancel();
  if (response.ok) return;
  const retryable = response.status >= 500 || response.status === 408 || response.status === 429;
  throw new CaptureError('SignalBusUnavailable', `it answered ${response.status}`, { retryable });
}
