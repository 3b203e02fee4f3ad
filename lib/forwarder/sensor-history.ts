import { metrics, type Metric, type MetricSample } from '../policy/thresholds.ts';

export const historySeconds = 600;
/** Between two samples that are kept; the newest one is always there. */
const spacingSeconds = 10;
const rowCount = historySeconds / spacingSeconds + 1;
export const maxHistoryContainerCount = 10_000;

const totalNames = ['fullGcCount', 'youngGcCount', 'gcSeconds'] as const;
const columnCount = metrics.length + totalNames.length;

/** A ring of rows in typed arrays: 5 KB for one container, whatever comes. NaN is what is not known. */
class Rows {
  readonly #times = new Float64Array(rowCount);
  readonly #numbers = new Float64Array(rowCount * columnCount).fill(NaN);
  #count = 0;
  #next = 0;

  get lastMilliseconds(): number {
    return this.#count === 0 ? -Infinity : (this.#times[this.#at(this.#count - 1)] ?? 0);
  }

  add(sample: MetricSample): void {
    if (!(sample.epochMilliseconds > this.lastMilliseconds)) return;
    const before = this.#count < 2 ? -Infinity : (this.#times[this.#at(this.#count - 2)] ?? 0);
    // The newest row gives way until it is far enough from the one before it.
    const replaces = this.#count >= 2 && this.lastMilliseconds - before < spacingSeconds * 1000;
    if (replaces) this.#next = (this.#next + rowCount - 1) % rowCount;
    else this.#count = Math.min(this.#count + 1, rowCount);
    this.#write(this.#next, sample);
    this.#next = (this.#next + 1) % rowCount;
  }

  list(fromMilliseconds: number): MetricSample[] {
    return Array.from({ length: this.#count }, (_, index) => this.#read(this.#at(index))).filter(
      ({ epochMilliseconds }) => epochMilliseconds >= fromMilliseconds,
    );
  }

  #at(index: number): number {
    return (this.#next + rowCount - this.#count + index) % rowCount;
  }

  #write(row: number, { epochMilliseconds, values, totals }: MetricSample): void {
    this.#times[row] = epochMilliseconds;
    const numbers = [
      ...metrics.map((metric) => values[metric] ?? NaN),
      ...totalNames.map((name) => totals?.[name] ?? NaN),
    ];
    this.#numbers.set(numbers, row * columnCount);
  }

  #read(row: number): MetricSample {
    const numbers = this.#numbers.subarray(row * columnCount, (row + 1) * columnCount);
    const named = <Name extends string>(names: readonly Name[], from: number) =>
      Object.fromEntries(
        names
          .map((name, index) => [name, numbers[from + index]] as const)
          .filter(([, value]) => !Number.isNaN(value)),
      ) as Partial<Record<Name, number>>;
    return {
      epochMilliseconds: this.#times[row] ?? 0,
      values: named<Metric>(metrics, 0),
      totals: named(totalNames, metrics.length),
    };
  }
}

/**
 * What the sensor measured of each container in the ten minutes before its last sample: one sample each 10 s, and the
 * newest. Beyond 10,000 containers the one that was not heard of for longest goes. What ended stays until then, so
 * that the end of a container can be judged by it.
 */
export class SensorHistory {
  readonly #maxCount: number;
  readonly #byContainer = new Map<string, Rows>();

  constructor(maxCount = maxHistoryContainerCount) {
    this.#maxCount = maxCount;
  }

  /** A sample that is no newer than the last one is left out. */
  add(podUid: string, runtimeID: string, sample: MetricSample): void {
    const key = keyOf(podUid, runtimeID);
    const rows = this.#byContainer.get(key) ?? new Rows();
    rows.add(sample);
    this.#byContainer.delete(key);
    this.#byContainer.set(key, rows);
    if (this.#byContainer.size <= this.#maxCount) return;
    const [oldest] = this.#byContainer.keys();
    if (oldest !== undefined) this.#byContainer.delete(oldest);
  }

  /**
   * Oldest first; empty for a container of which nothing was heard.
   * @param containerID as Kubernetes prints it (`containerd://…`), or the runtime's id alone.
   */
  of(podUid: string, containerID: string): readonly MetricSample[] {
    const rows = this.#byContainer.get(keyOf(podUid, containerID.replace(/^[^:]*:\/\//, '')));
    return rows?.list(rows.lastMilliseconds - historySeconds * 1000) ?? [];
  }
}

function keyOf(podUid: string, runtimeID: string): string {
  return `${podUid}/${runtimeID}`;
}
