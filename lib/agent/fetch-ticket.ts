import { setTimeout as wait } from 'node:timers/promises';
import { CaptureError, messageOf } from '../errors.ts';
import { maxTicketBytes, ticketSchema, type Ticket } from '../capture/ticket.ts';
import { validate } from '../validation.ts';
import { systemCode } from './container-path.ts';
import { send } from './put-object.ts';

const pauseMilliseconds = 500;

/**
 * Fetches and checks the agent's order. Tries again within the time it is given.
 * @throws CaptureError InvalidTicket (malformed, too long, or not a URL), TicketExpired (the URL's time or the
 *   time to start is over), ObjectStoreUnavailable (retryable: nothing was said in time).
 */
export async function fetchTicket(ticketUrl: string, timeoutSeconds: number): Promise<Ticket> {
  if (!/^https?:\/\/[^\s]{1,4000}$/.test(ticketUrl) || !URL.canParse(ticketUrl)) {
    throw new CaptureError(
      'InvalidTicket',
      'the ticket URL is not valid; accepted is http or https',
    );
  }
  const deadline = performance.now() + timeoutSeconds * 1_000;
  for (;;) {
    try {
      return await fetchOnce(ticketUrl, deadline - performance.now());
    } catch (error) {
      const again = error instanceof CaptureError && error.retryable;
      if (!again || performance.now() + pauseMilliseconds >= deadline) throw error;
      await wait(pauseMilliseconds);
    }
  }
}

async function fetchOnce(ticketUrl: string, timeoutMilliseconds: number): Promise<Ticket> {
  const answer = await get(ticketUrl, Math.max(1, Math.ceil(timeoutMilliseconds)));
  if (answer.status === 403) {
    throw new CaptureError(
      'TicketExpired',
      'the ticket was refused (HTTP 403): its URL has expired',
    );
  }
  if (answer.status !== 200) {
    throw new CaptureError(
      answer.status === 404 ? 'InvalidTicket' : 'ObjectStoreUnavailable',
      `the ticket was not given: HTTP ${answer.status}`,
      { retryable: answer.status !== 404 },
    );
  }
  const ticket = parseTicket(answer.body.toString());
  checkTimes(ticket, new Date());
  return ticket;
}

/** @throws CaptureError TicketExpired: nothing may begin any more. */
export function checkTimes(ticket: Ticket, now: Date): void {
  const { captureId, startDeadlineTime, captureDeadlineTime } = ticket;
  const until = Math.min(Date.parse(startDeadlineTime), Date.parse(captureDeadlineTime) - 1);
  if (now.getTime() <= until) return;
  throw new CaptureError(
    'TicketExpired',
    `the ticket of ${captureId} was to be started until ${startDeadlineTime}; it is ${now.toISOString()}`,
  );
}

async function get(ticketUrl: string, timeoutMilliseconds: number) {
  try {
    return await send('GET', ticketUrl, {
      maxBytes: maxTicketBytes,
      signal: AbortSignal.timeout(timeoutMilliseconds),
      inactivityTimeoutMilliseconds: timeoutMilliseconds,
    });
  } catch (error) {
    const words = systemCode(error) ?? messageOf(error, 100);
    throw new CaptureError('ObjectStoreUnavailable', `the ticket could not be fetched: ${words}`, {
      retryable: true,
      cause: error,
    });
  }
}

/** @throws CaptureError InvalidTicket. */
export function parseTicket(text: string): Ticket {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw new CaptureError('InvalidTicket', 'the ticket is not JSON');
  }
  try {
    return validate(ticketSchema, value, 'InvalidTicket', 'ticket');
  } catch (error) {
    // The refusal goes to the caller's log: it names fields and what is accepted, but no value, which could
    // be a presigned URL.
    const message = messageOf(error, 5_000).replaceAll(/, got (?:(?!; ).)*/gs, '');
    throw new CaptureError('InvalidTicket', message.slice(0, 1_000));
  }
}
