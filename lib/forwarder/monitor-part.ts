import type { Logger } from '../log.ts';
import type { JvmMonitorApi } from '../policy/monitor-api.ts';
import type { CaptureWord } from '../signal/capture-word.ts';
import type { Signal } from '../signal/signal.ts';
import { JvmMonitors } from './jvm-monitors.ts';
import type { ForwarderMetrics } from './metrics.ts';
import { MonitorController } from './monitor-controller.ts';
import { MonitorPoller } from './monitor-poller.ts';
import { MonitorReporter } from './monitor-reporter.ts';
import type { PodCache } from './pod-cache.ts';
import type { PodPolicies } from './pod-policies.ts';
import type { SignalIntake } from './signal-intake.ts';
import type { Time } from './time.ts';
import { watchForever } from './watcher.ts';

export interface MonitorPartOptions {
  /** Without it there are no JvmMonitors. */
  monitorApi?: JvmMonitorApi;
  /** Of the Prometheus that JvmMonitors may query. */
  prometheusUrl?: string;
  pods: PodCache;
  time: Time;
  random: () => number;
  metrics: ForwarderMetrics;
  log: Logger;
}

/** Everything of the forwarder that concerns JvmMonitors, wired. Every replica watches them; one alone leads. */
export class MonitorPart {
  readonly monitors: JvmMonitors;
  readonly #options: MonitorPartOptions;
  readonly #reporter: MonitorReporter | undefined;

  constructor(options: MonitorPartOptions) {
    this.#options = options;
    this.monitors = new JvmMonitors(options);
    const { monitorApi: api } = options;
    this.#reporter = api && new MonitorReporter({ ...options, api, monitors: this.monitors });
  }

  /** The same way out for signals, heard by the status of their monitors. */
  hearing(send: (signal: Signal) => void): (signal: Signal) => void {
    return (signal) => {
      send(signal);
      this.#reporter?.signalSent(signal);
    };
  }

  captureSeen(word: CaptureWord): void {
    this.#reporter?.captureSeen(word);
  }

  /** Lists and watches the JvmMonitors of a namespace until the abort. A cluster without the resource is not unready. */
  async watch(namespace: string, signal: AbortSignal): Promise<void> {
    const { monitorApi: api } = this.#options;
    if (api === undefined) return;
    await watchForever({
      ...this.#options,
      namespace,
      signal,
      resource: 'jvmmonitors',
      list: () => api.listMonitors(namespace),
      watch: (from, onChange, ended) => api.watchMonitors(namespace, from, onChange, ended),
      onList: (items) => this.monitors.listed(namespace, items),
      onChange: (change) => this.monitors.changed(change),
      onContact: () => undefined,
    });
  }

  /** What the leader alone does; to be started when it leads and stopped when it does not. */
  controller(parts: {
    intake: SignalIntake;
    policies: PodPolicies;
  }): Pick<MonitorController, 'start' | 'stop'> {
    const { monitors } = this;
    const reporter = this.#reporter;
    if (reporter === undefined) {
      return { start: () => undefined, stop: () => Promise.resolve() };
    }
    const led = { ...this.#options, ...parts, monitors, reporter };
    return new MonitorController({ ...led, poller: new MonitorPoller(led) });
  }
}
