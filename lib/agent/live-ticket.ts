import { setTimeout as wait } from 'node:timers/promises';
import type { RenewalWish } from '../capture/manifest.ts';
import { maxRenewalCount, maxTicketBytes, type Ticket } from '../capture/ticket.ts';
import { CaptureError, messageOf } from '../errors.ts';
import type { Logger } from '../log.ts';
import { parseTicket } from './fetch-ticket.ts';
import { putObject, send, type PutBody, type PutOptions } from './put-object.ts';

export interface LiveTicketOptions {
  readonly ticket: Ticket;
  readonly log: Logger;
  /** Milliseconds since 1970: no fresh ticket is waited for beyond it. */
  readonly deadline: number;
  /** Tells sweep of what is asked for, by the progress object; `undefined` when it has come. */
  readonly wish: (wish: RenewalWish | undefined) => void;
  /** Waits between two looks; a timer unless given. Rejects when the signal aborts. */
  readonly pause?: (milliseconds: number, signal: AbortSignal) => Promise<unknown>;
}

/** Sweep runs once a minute. */
const [firstPauseMilliseconds, maxPauseMilliseconds] = [2_000, 15_000];
/** Sweep has been asked five times by then. What is stored can then only be ended. */
const maxPartUrlsWaitMilliseconds = 300_000;
const lookTimeoutMilliseconds = 30_000;
/** The one that was on its way may have been signed before more part URLs were asked for. */
const maxTicketsForParts = 2;

/**
 * The ticket of a running capture, and the fresh ones that follow it. A URL ends with the credentials that signed it, at
 * a time that nobody tells: so a fresh ticket is asked for from the ticket's wishTime on, while the URLs still work, and
 * when one is refused. It is fetched by a URL of the ticket before, so that the chain breaks when that has ended too.
 */
export class LiveTicket {
  readonly #options: LiveTicketOptions;
  readonly #closed = new AbortController();
  #ticket: Ticket;
  #wantedPartCount: number | undefined;
  #renewing: Promise<void> | undefined;
  /** No fresh ticket can come any more. */
  #lost = false;
  #timer: NodeJS.Timeout | undefined;

  constructor(options: LiveTicketOptions) {
    this.#options = options;
    this.#ticket = options.ticket;
    this.#schedule();
  }

  /** The newest. */
  get current(): Ticket {
    return this.#ticket;
  }

  /**
   * As putObject, by the URL that the newest ticket has for it. Where its time is over, waits for a fresh ticket.
   * @throws CaptureError as putObject: TicketExpired when no fresh ticket came until the deadline, or can come.
   */
  async put(
    urlOf: (ticket: Ticket) => string | undefined,
    body: PutBody,
    options: PutOptions,
  ): Promise<string> {
    for (;;) {
      const ticket = this.#ticket;
      const url = urlOf(ticket);
      if (url === undefined) throw new CaptureError('UploadFailed', 'the ticket has no URL for it');
      try {
        return await putObject(url, body, options);
      } catch (error) {
        const expired = error instanceof CaptureError && error.code === 'TicketExpired';
        if (!expired || !(await this.#isFollowed(ticket, options.deadline))) throw error;
      }
    }
  }

  /**
   * Asks for a ticket with so many part URLs.
   * @param stop ends the waiting.
   * @returns how many there are, be it fewer because none came within five minutes.
   */
  async morePartUrls(partCount: number, stop: AbortSignal): Promise<number> {
    const deadline = Math.min(this.#options.deadline, Date.now() + maxPartUrlsWaitMilliseconds);
    for (let tickets = 0; ; tickets += 1) {
      const ticket = this.#ticket;
      const count = ticket.heapDump?.partUrls.length ?? 0;
      if (count >= partCount || tickets === maxTicketsForParts || stop.aborted) return count;
      this.#wantedPartCount = Math.max(partCount, this.#wantedPartCount ?? 0);
      if (this.#renewing !== undefined) this.#tellWish(ticket);
      if (!(await this.#isFollowed(ticket, deadline, stop))) return count;
    }
  }

  /** Nothing more is asked for or looked for. */
  close(): void {
    clearTimeout(this.#timer);
    this.#closed.abort();
  }

  #schedule(): void {
    const { renewal } = this.#ticket;
    if (renewal === undefined || Date.parse(renewal.wishTime) >= this.#options.deadline) return;
    const milliseconds = Math.max(0, Date.parse(renewal.wishTime) - Date.now());
    this.#timer = setTimeout(() => {
      void this.#isFollowed(this.#ticket, this.#options.deadline);
    }, milliseconds);
    this.#timer.unref();
  }

  /** Waits until a ticket follows this one; `false` when none does in time. */
  async #isFollowed(ticket: Ticket, deadline: number, stop?: AbortSignal): Promise<boolean> {
    if (this.#ticket !== ticket) return true;
    const { renewal } = ticket;
    const { signal } = this.#closed;
    if (renewal === undefined || this.#lost || signal.aborted) return false;
    if (renewal.number >= maxRenewalCount) return false;
    this.#renewing ??= this.#renew(ticket, renewal).finally(() => (this.#renewing = undefined));
    const followed = new AbortController();
    const ends = AbortSignal.any([followed.signal, signal, ...(stop ? [stop] : [])]);
    const timeUp = wait(Math.max(0, deadline - Date.now()), undefined, { signal: ends });
    await Promise.race([this.#renewing, timeUp.catch(() => undefined)]);
    followed.abort();
    return this.#ticket !== ticket;
  }

  #tellWish({ renewal }: Ticket): void {
    const partCount = this.#wantedPartCount;
    const number = (renewal?.number ?? 0) + 1;
    this.#options.wish({ number, ...(partCount !== undefined && { partCount }) });
  }

  /** Looks for the next ticket until it is there, the time is over, or it cannot come. Never rejects. */
  async #renew(ticket: Ticket, renewal: NonNullable<Ticket['renewal']>): Promise<void> {
    const { log, deadline, pause = timer } = this.#options;
    const { signal } = this.#closed;
    const closed = (): boolean => signal.aborted;
    log.info('asks for a fresh ticket', { number: renewal.number + 1 });
    this.#tellWish(ticket);
    let pauseMilliseconds = firstPauseMilliseconds;
    let eTag: string | undefined;
    while (Date.now() + pauseMilliseconds < deadline) {
      await pause(pauseMilliseconds, signal).catch(() => undefined);
      if (closed()) return;
      pauseMilliseconds = Math.min(maxPauseMilliseconds, pauseMilliseconds * 2);
      try {
        const seen = await this.#look(renewal.getUrl, eTag);
        eTag = seen?.eTag ?? eTag;
        if (seen === undefined || !follows(seen.ticket, ticket)) continue;
        this.#take(seen.ticket);
        return;
      } catch (error) {
        if (closed()) return;
        if (error instanceof CaptureError && !error.retryable) {
          this.#lost = true;
          log.error('no fresh ticket can come', { code: error.code, reason: error.message });
          return;
        }
        log.warn('the fresh ticket was not seen, looking again', { reason: messageOf(error, 200) });
      }
    }
  }

  /**
   * @returns `undefined` when the ticket is the one with this ETag.
   * @throws CaptureError TicketExpired (the URL's time is over, or the capture has ended); InvalidTicket (retryable), and
   *   whatever the network throws.
   */
  async #look(
    url: string,
    eTag: string | undefined,
  ): Promise<{ ticket: Ticket; eTag: string | undefined } | undefined> {
    const timeUp = AbortSignal.timeout(lookTimeoutMilliseconds);
    const answer = await send('GET', url, {
      maxBytes: maxTicketBytes,
      signal: AbortSignal.any([timeUp, this.#closed.signal]),
      inactivityTimeoutMilliseconds: lookTimeoutMilliseconds,
      ...(eTag !== undefined && { ifNoneMatch: eTag }),
    });
    const { status } = answer;
    if (status === 304) return undefined;
    // 400 is what S3 answers when the credentials have ended (ExpiredToken), 403 when the URL has; 404 once the
    // capture is finished.
    if (status === 400 || status === 403 || status === 404) {
      throw new CaptureError('TicketExpired', `the ticket is not given any more: HTTP ${status}`);
    }
    if (status !== 200) throw new Error(`HTTP ${status}`);
    try {
      return { ticket: parseTicket(answer.body.toString()), eTag: answer.eTag };
    } catch (error) {
      throw new CaptureError('InvalidTicket', messageOf(error), { retryable: true });
    }
  }

  #take(ticket: Ticket): void {
    this.#ticket = ticket;
    const partCount = ticket.heapDump?.partUrls.length ?? 0;
    if (partCount >= (this.#wantedPartCount ?? 0)) this.#wantedPartCount = undefined;
    this.#options.wish(undefined);
    this.#options.log.info('has a fresh ticket', { number: ticket.renewal?.number, partCount });
    clearTimeout(this.#timer);
    this.#schedule();
  }
}

/** Whether it is a later ticket of the same capture, and can take the place of the other. */
function follows(next: Ticket, before: Ticket): boolean {
  return (
    next.captureId === before.captureId &&
    next.fencingToken === before.fencingToken &&
    (next.renewal?.number ?? 0) > (before.renewal?.number ?? 0) &&
    (next.heapDump?.partUrls.length ?? 0) >= (before.heapDump?.partUrls.length ?? 0)
  );
}

function timer(milliseconds: number, signal: AbortSignal): Promise<unknown> {
  return wait(milliseconds, undefined, { signal });
}
