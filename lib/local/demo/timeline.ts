/** Steps of a capture in the demo's words. */
export type Step =
  | 'leak'
  | 'probe'
  | 'signal'
  | 'decision'
  | 'claim'
  | 'evidence'
  | 'first byte'
  | 'last byte'
  | 'durable'
  | 'sealed'
  | 'killing'
  | 'killed'
  | 'restarted';

/** Prints what happens as it happens: seconds since the leak began, the step, what it is about. */
export class Timeline {
  readonly #write: (text: string) => void;
  readonly #said = new Set<string>();
  #startMillis: number | undefined;
  #ended = false;

  constructor(write: (text: string) => void) {
    this.#write = write;
  }

  /** The same step and text are said once. `time` is when it happened, by whoever saw it. */
  say(step: Step, text: string, time: Date = new Date()): void {
    const key = `${step} ${text}`;
    if (this.#ended || this.#said.has(key)) return;
    this.#said.add(key);
    this.#startMillis ??= time.getTime();
    const seconds = ((time.getTime() - this.#startMillis) / 1000).toFixed(2).padStart(7);
    this.#write(`${seconds} s  ${step.padEnd(10)}  ${text}\n`);
  }

  /** What comes later is no part of the story: it would stand in the middle of the result. */
  end(): void {
    this.#ended = true;
  }

  has(step: Step): boolean {
    return [...this.#said].some((key) => key.startsWith(`${step} `));
  }
}
