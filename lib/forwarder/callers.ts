import { createHash } from 'node:crypto';
import { messageOf } from '../errors.ts';
import type { ReviewedToken, ReviewToken } from '../kubernetes/token-review.ts';
import type { Logger } from '../log.ts';
import { RecentMap } from './recent-map.ts';

/** What a projected token must be made for. */
export const tokenAudience = 'heapcatch';

/** `unknown`: the API server could not be asked now. */
export type Caller =
  | { readonly outcome: 'known'; readonly caller: ReviewedToken }
  | { readonly outcome: 'refused' }
  | { readonly outcome: 'unknown' };

/** A token that was taken back is believed for this long at most. */
const rememberedMilliseconds = 60_000;
const rememberedCount = 5_000;
const maxReviewCount = 20;

/**
 * Who asks, by the token that came along. Answers are remembered for a minute, by the token's digest, and no more than 20
 * reviews run at once: made-up tokens do not become a load on the API server.
 */
export class Callers {
  readonly #options: {
    readonly review: ReviewToken;
    readonly now: () => Date;
    readonly log: Logger;
  };
  readonly #known = new RecentMap<{ answer: Caller; untilMilliseconds: number }>(rememberedCount);
  readonly #running = new Map<string, Promise<Caller>>();

  constructor(options: { review: ReviewToken; now: () => Date; log: Logger }) {
    this.#options = options;
  }

  async of(bearerToken: string | undefined): Promise<Caller> {
    if (bearerToken === undefined) return { outcome: 'refused' };
    const digest = createHash('sha256').update(bearerToken).digest('base64');
    const known = this.#known.get(digest);
    const now = this.#options.now().getTime();
    if (known !== undefined && now < known.untilMilliseconds) return known.answer;
    const running = this.#running.get(digest);
    if (running !== undefined) return running;
    if (this.#running.size >= maxReviewCount) return { outcome: 'unknown' };
    const review = this.#review(bearerToken).finally(() => this.#running.delete(digest));
    this.#running.set(digest, review);
    const answer = await review;
    const untilMilliseconds = now + rememberedMilliseconds;
    if (answer.outcome !== 'unknown') this.#known.set(digest, { answer, untilMilliseconds });
    return answer;
  }

  async #review(bearerToken: string): Promise<Caller> {
    const { review, log } = this.#options;
    try {
      const caller = await review(bearerToken);
      return caller === undefined ? { outcome: 'refused' } : { outcome: 'known', caller };
    } catch (error) {
      log.warn('a token could not be reviewed', { error: messageOf(error) });
      return { outcome: 'unknown' };
    }
  }
}
