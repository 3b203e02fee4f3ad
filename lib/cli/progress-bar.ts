import { sizeWords, timeWords } from './quantities.ts';

const drawnEveryMillis = 100;
const barCells = 24;

/** Draws how far something is, on one line of a terminal. Without `redraw`, which only a terminal has, it does nothing. */
export class ProgressBar {
  readonly #label: string;
  readonly #totalBytes: number;
  readonly #now: () => Date;
  readonly #redraw: ((line: string) => void) | undefined;
  #startMillis: number | undefined;
  #startBytes = 0;
  #drawnMillis = 0;

  constructor(
    label: string,
    totalBytes: number,
    io: { now(): Date; redraw?: ((line: string) => void) | undefined },
  ) {
    this.#label = label;
    this.#totalBytes = totalBytes;
    this.#now = () => io.now();
    this.#redraw = io.redraw;
  }

  update(doneBytes: number): void {
    if (this.#redraw === undefined) return;
    const now = this.#now().getTime();
    if (this.#startMillis === undefined) {
      this.#startMillis = now;
      this.#startBytes = doneBytes;
    }
    if (now - this.#drawnMillis < drawnEveryMillis && doneBytes < this.#totalBytes) return;
    this.#drawnMillis = now;
    const seconds = (now - this.#startMillis) / 1_000;
    this.#redraw(this.#line(doneBytes, seconds));
  }

  /** Takes the line away. */
  end(): void {
    this.#redraw?.('');
  }

  #line(doneBytes: number, seconds: number): string {
    const share = this.#totalBytes === 0 ? 1 : Math.min(1, doneBytes / this.#totalBytes);
    const full = Math.round(share * barCells);
    const bar = `[${'#'.repeat(full)}${'.'.repeat(barCells - full)}]`;
    const percent = `${Math.floor(share * 100)} %`.padStart(5);
    const sizes = `${sizeWords(doneBytes)} of ${sizeWords(this.#totalBytes)}`;
    const speed = seconds > 0 ? (doneBytes - this.#startBytes) / seconds : 0;
    const left =
      speed > 0
        ? `, ${sizeWords(speed)}/s, about ${timeWords(Math.ceil((this.#totalBytes - doneBytes) / speed))} left`
        : '';
    return `${this.#label} ${bar} ${percent}  ${sizes}${left}`;
  }
}
