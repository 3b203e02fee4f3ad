import type { Policy } from '../policy/policy.ts';

/**
 * The largest difference between any two clocks that is bridged: those of the functions and of the
 * node the agent runs on. AWS and managed nodes keep time within a second; a minute is a clock that
 * somebody set by hand.
 */
export const leaseSkewMarginSeconds = 60;

/**
 * Time that seal has after the agent's last moment: the manifest's event, and a second run of a
 * function that is given 120 s, when the first one fails. A dump that the JVM has begun ends in it as
 * well: ending the agent does not stop the JVM.
 */
export const sealMarginSeconds = 300;

/** How long a lock is still held when its capture has ended and its JVM goes on dumping, by the clock of whoever ends it. */
export const overrunSeconds = sealMarginSeconds + leaseSkewMarginSeconds;

/** A record outlives everything that may still ask about it. */
export const recordLifeSeconds = 30 * 86_400;

/** Window of the rate limit. */
export const ratePeriodSeconds = 3_600;

/** Attempts that one captureId has in all, when none of them came as far as an agent that ran. */
export const maxAttemptCount = 3;

/**
 * How long a claim holds the lock, in seconds.
 *
 * | acquireTime          captureDeadlineTime                                    leaseExpireTime
 * |------------------------------|----------------------|------------------------------|------> time
 *   captureDeadlineSeconds         sealMarginSeconds      leaseSkewMarginSeconds
 *   claim, start, capture;         manifest, seal,        nobody works; covers clocks    the lock counts as
 *   the agent stops itself         release of the lock    that run fast or slow          free, sweep comes
 *
 * The clocks: the claimer stamps all three times, the agent stops by its own clock, the next claimer
 * compares the lease with its own. Two captures overlap only if the agent's clock is behind that
 * claimer's by more than sealMarginSeconds + leaseSkewMarginSeconds together. A claimer whose own clock is
 * wrong moves all of its times alike: it gets a shorter or longer lease, and an agent that stops earlier
 * or later with it. A fast clock can also end a cooldown early and a slow one late, by its error.
 *
 * Watching a lease from outside, as lock clients do that trust no clock, would make a claimer wait a
 * whole lease: a function should not, and a dying pod cannot.
 */
export function leaseSeconds(policy: Policy): number {
  return policy.limits.captureDeadlineSeconds + sealMarginSeconds + leaseSkewMarginSeconds;
}

/** The three times of a claim, RFC 3339, from the policy and the claimer's clock. */
export function leaseTimes(
  policy: Policy,
  now: Date,
): { acquireTime: string; captureDeadlineTime: string; leaseExpireTime: string } {
  const after = (seconds: number): string =>
    new Date(now.getTime() + seconds * 1_000).toISOString();
  return {
    acquireTime: now.toISOString(),
    captureDeadlineTime: after(policy.limits.captureDeadlineSeconds),
    leaseExpireTime: after(leaseSeconds(policy)),
  };
}
