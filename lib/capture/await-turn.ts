import { setTimeout as pause } from 'node:timers/promises';
import type { Signal } from '../signal/signal.ts';
import type { CaptureAnswer } from './capture-answer.ts';
import type { Clock } from './ports.ts';

export interface TurnDeps {
  clock: Clock;
  /** Milliseconds until the function is stopped. */
  remainingMillis: () => number;
  /** Between two looks at the lock; 500 ms unless given. */
  pauseTurn?: () => Promise<unknown>;
}

/** A dying pod is rarely there for longer, and the start of an agent needs the rest of the function's time. */
const maxWaitMillis = 25_000;
const keptMillis = 30_000;
const turnMillis = 500;

/**
 * Answers again, until another answer than `LockHeld` comes, where the policy has no cooldown: each of several
 * replicas that fail at once is to be dumped, one after the other, as long as it lives. With a cooldown the wait
 * would end in `Cooldown`; a person at the console, whose signal has no policy, is answered at once.
 * Ends with the last `LockHeld` after 25 s, or when the function has less than 30 s left.
 */
export async function inTurn<T extends { answer: CaptureAnswer }>(
  deps: TurnDeps,
  signal: Signal,
  answer: () => Promise<T>,
): Promise<T> {
  const waits = signal.policy?.limits.cooldownSeconds === 0 && signal.dryRun !== true;
  const end = deps.clock().getTime() + maxWaitMillis;
  for (;;) {
    const answered = await answer();
    if (!waits || answered.answer.reason !== 'LockHeld') return answered;
    if (deps.clock().getTime() >= end || deps.remainingMillis() < keptMillis) return answered;
    await (deps.pauseTurn?.() ?? pause(turnMillis));
  }
}
