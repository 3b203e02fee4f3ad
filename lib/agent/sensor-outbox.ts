import { readFile } from 'node:fs/promises';
import { messageOf } from '../errors.ts';
import type { Logger } from '../log.ts';
import { postJson } from './post-json.ts';
import {
  maxReportContainerCount,
  maxReportSampleCount,
  sensorAnswerSchema,
  type SensedContainer,
  type SensorAnswer,
  type SensorReport,
} from '../signal/sensor-report.ts';

export interface SensorOutboxOptions {
  /** Where the forwarder answers, without a path. */
  readonly forwarderUrl: string;
  /** Read anew for each report: the kubelet replaces it. */
  readonly tokenFile: string;
  readonly nodeName: string;
  /** Is told what the forwarder answers to a report that it took. */
  readonly onAnswer?: (answer: SensorAnswer) => void;
  readonly log: Logger;
}

const path = '/v1/sensor';
const timeoutMilliseconds = 5_000;
/** An answer that another replica may not give: the Service leads the next connection elsewhere. */
const maxAttempts = 3;
const faultLogMilliseconds = 60_000;

type Sample = SensedContainer['samples'][number];
type Key = Omit<SensedContainer, 'samples'>;

/**
 * What is to be told to the forwarder, and the telling. While the forwarder is away the newest 20 samples of each container
 * wait; older ones are dropped and counted.
 */
export class SensorOutbox {
  readonly #options: SensorOutboxOptions;
  readonly #waiting = new Map<string, { key: Key; samples: Sample[] }>();
  #sending = false;
  #loggedAt = -Infinity;
  sentCount = 0;
  failedCount = 0;
  droppedCount = 0;

  constructor(options: SensorOutboxOptions) {
    this.#options = options;
  }

  get waitingCount(): number {
    let count = 0;
    for (const { samples } of this.#waiting.values()) count += samples.length;
    return count;
  }

  add(key: Key, sample: Sample): void {
    const name = `${key.runtimeID} ${key.startTicks}`;
    const { samples } = this.#waiting.get(name) ?? this.#put(name, key);
    samples.push(sample);
    if (samples.length > maxReportSampleCount) {
      samples.shift();
      this.droppedCount += 1;
    }
  }

  /** Sends what waits, unless it is being sent. What did not arrive waits on. Never throws. */
  async flush(): Promise<void> {
    if (this.#sending || this.#waiting.size === 0) return;
    this.#sending = true;
    try {
      while (this.#waiting.size > 0) {
        const batch = [...this.#waiting].slice(0, maxReportContainerCount);
        const containers = batch.map(([, { key, samples }]) => ({ ...key, samples: [...samples] }));
        const arrived = await this.#post({
          ...{ schemaVersion: 1, nodeName: this.#options.nodeName, containers },
        });
        if (arrived) this.sentCount += 1;
        else this.droppedCount += containers.reduce((sum, one) => sum + one.samples.length, 0);
        for (const [index, [name, { samples }]] of batch.entries()) {
          const last = containers[index]?.samples.at(-1)?.epochMilliseconds ?? 0;
          const later = samples.filter(({ epochMilliseconds }) => epochMilliseconds > last);
          if (later.length === 0) this.#waiting.delete(name);
          else samples.splice(0, samples.length, ...later);
        }
      }
    } catch (error) {
      this.failedCount += 1;
      this.#complain('a sensor report did not arrive, it waits', error);
    } finally {
      this.#sending = false;
    }
  }

  #put(name: string, key: Key): { key: Key; samples: Sample[] } {
    const waiting = { key, samples: [] };
    this.#waiting.set(name, waiting);
    // Of containers that are long gone, when nobody has fetched them.
    for (const oldest of this.#waiting.keys()) {
      if (this.#waiting.size <= 4 * maxReportContainerCount) break;
      this.droppedCount += this.#waiting.get(oldest)?.samples.length ?? 0;
      this.#waiting.delete(oldest);
    }
    return waiting;
  }

  /**
   * `false` for a report that the forwarder finds invalid: it would be no better the next time.
   * @throws Error for whatever can be better later.
   */
  async #post(report: SensorReport): Promise<boolean> {
    const { forwarderUrl, tokenFile } = this.#options;
    const token = (await readFile(tokenFile, 'utf8')).trim();
    let refusal = '';
    for (let attempt = 1; attempt <= maxAttempts; attempt += 1) {
      const answer = await postJson(new URL(path, forwarderUrl), {
        ...{ body: report, bearerToken: token, timeoutMilliseconds },
      });
      if (answer.status >= 200 && answer.status < 300) {
        this.#heed(answer.text);
        return true;
      }
      refusal = `the forwarder answered ${answer.status}: ${answer.text.slice(0, 300)}`;
      if (answer.status === 400 || answer.status === 413) {
        this.failedCount += 1;
        this.#complain('a sensor report is given up', refusal);
        return false;
      }
      if (answer.status !== 503) break;
    }
    throw new Error(refusal);
  }

  /** What cannot be read is as good as no answer: the report arrived. */
  #heed(text: string): void {
    try {
      this.#options.onAnswer?.(sensorAnswerSchema.parse(JSON.parse(text)));
    } catch (error) {
      this.#complain('the answer to a sensor report cannot be read', error);
    }
  }

  #complain(message: string, error: unknown): void {
    if (Date.now() - this.#loggedAt < faultLogMilliseconds) return;
    this.#loggedAt = Date.now();
    const { waitingCount } = this;
    this.#options.log.warn(message, { error: messageOf(error), waitingCount });
  }
}
