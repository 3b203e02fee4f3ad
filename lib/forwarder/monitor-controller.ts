import { messageOf } from '../errors.ts';
import type { Logger } from '../log.ts';
import type { JvmMonitors } from './jvm-monitors.ts';
import { MonitorClock } from './monitor-clock.ts';
import type { MonitorPoller } from './monitor-poller.ts';
import type { MonitorReporter } from './monitor-reporter.ts';
import type { PodCache } from './pod-cache.ts';
import type { SignalIntake } from './signal-intake.ts';
import type { Time } from './time.ts';

const roundMilliseconds = 1_000;

export interface MonitorControllerOptions {
  monitors: JvmMonitors;
  pods: Pick<PodCache, 'all'>;
  intake: Pick<SignalIntake, 'submit'>;
  reporter: MonitorReporter;
  poller: Pick<MonitorPoller, 'round'>;
  time: Time;
  log: Logger;
}

/**
 * What one forwarder alone does for JvmMonitors: writes their status, asks for what is due by time, reads metrics that the sensor does
 * not bring. Begins and ends with start() and stop(); everything that must outlast it is in the resources or counted anew.
 */
export class MonitorController {
  readonly #options: MonitorControllerOptions;
  #running: { stop: AbortController; ended: Promise<void> } | undefined;

  constructor(options: MonitorControllerOptions) {
    this.#options = options;
  }

  /** Begins; nothing when it runs. */
  start(): void {
    if (this.#running !== undefined) return;
    const stop = new AbortController();
    this.#running = { stop, ended: this.#run(stop.signal) };
  }

  /** Ends what is under way; a request that was sent is awaited, within its own deadline. */
  async stop(): Promise<void> {
    const running = this.#running;
    this.#running = undefined;
    running?.stop.abort();
    await running?.ended;
  }

  async #run(signal: AbortSignal): Promise<void> {
    const { monitors, pods, reporter, poller, time, log } = this.#options;
    const clock = new MonitorClock(monitors, pods);
    while (!signal.aborted) {
      try {
        for (const word of clock.due(time.now())) this.#submit(word);
        poller.round(signal);
        await reporter.round();
      } catch (error) {
        log.error('a round over the JvmMonitors failed', { error: messageOf(error) });
      }
      await time.sleep(roundMilliseconds, signal);
    }
  }

  #submit(word: Parameters<SignalIntake['submit']>[0]): void {
    const answer = this.#options.intake.submit(word);
    const { namespace, podName, monitorName } = word;
    if (answer.outcome === 'sent') {
      this.#options.log.info('a monitor asks for a dump', { namespace, podName, monitorName });
    } else {
      const { reason, message: explanation } = answer;
      const fields = { namespace, podName, monitorName, refusal: reason, explanation };
      this.#options.log.info('what a monitor asks for is refused', fields);
    }
  }
}
