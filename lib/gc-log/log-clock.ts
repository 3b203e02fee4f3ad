import type { LineTime } from './unified-line.ts';

/** A step back of more than this is a new life of the JVM, or of its clock; less is two threads' lines out of order. */
const backwardSeconds = 1;
/** Clocks are set back by more than threads' lines ever differ, and NTP steps are smaller. */
const clockBackwardSeconds = 60;

/**
 * Turns the times of lines into seconds on one axis that never runs backwards, over restarts of the JVM, rotation and a clock
 * that was set back. Where lines carry a date the axis is seconds since 1970; where they carry uptime only, the lives
 * follow each other without a gap.
 */
export class LogClock {
  #lastUptime: number | undefined;
  #last: number | undefined;
  #offset = 0;
  #byDate: boolean | undefined;
  #restartCount = 0;

  /** How often the uptime began anew. */
  get restartCount(): number {
    return this.#restartCount;
  }

  /** The latest moment of the log. */
  get lastSeconds(): number | undefined {
    return this.#last;
  }

  /** A life began that no uptime tells of. */
  noteRestart(): void {
    this.#restartCount += 1;
    this.#lastUptime = undefined;
  }

  /** @returns seconds on the axis; `undefined` for a line without time. */
  read(time: LineTime): number | undefined {
    const { uptimeSeconds, epochMilliseconds } = time;
    const restarted = this.#sawRestart(uptimeSeconds);
    const byDate = epochMilliseconds !== undefined;
    const raw = byDate ? epochMilliseconds / 1000 : uptimeSeconds;
    if (raw === undefined) return undefined;
    if (this.#last === undefined) {
      this.#byDate = byDate;
      this.#last = raw;
      return raw;
    }
    if (byDate !== this.#byDate || (restarted && !byDate)) {
      this.#byDate = byDate;
      this.#offset = this.#last - (byDate || !restarted ? raw : 0);
    }
    if (raw + this.#offset < this.#last - clockBackwardSeconds) this.#offset = this.#last - raw;
    this.#last = Math.max(this.#last, raw + this.#offset);
    return this.#last;
  }

  #sawRestart(uptimeSeconds: number | undefined): boolean {
    if (uptimeSeconds === undefined) return false;
    const last = this.#lastUptime;
    this.#lastUptime = uptimeSeconds;
    if (last === undefined || uptimeSeconds >= last - backwardSeconds) return false;
    this.#restartCount += 1;
    return true;
  }
}
