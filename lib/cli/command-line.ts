import { parseArgs, type ParseArgsOptionsConfig } from 'node:util';
import { CaptureError, messageOf } from '../errors.ts';
import { terminalText } from './terminal-text.ts';

/** What every command may write to. Texts may hold anything: `runCommand` takes out what a terminal would obey. */
export interface Output {
  write(text: string): void;
  writeError(text: string): void;
}

/** Exit codes of the commands on captures; docs/cli.md has them all. */
export const exitCodes = {
  done: 0,
  /** It was done, and something of it is not as it should be. */
  amiss: 1,
  /** Not understood, or not possible. */
  refused: 2,
  /** The function decided to capture nothing. */
  skipped: 3,
  /** The time to wait was over. */
  timedOut: 4,
  interrupted: 130,
} as const;

export const helpOption = { help: { type: 'boolean', short: 'h' } } as const;
export const jsonOption = { json: { type: 'boolean' } } as const;

/**
 * Reads a command's words.
 * @throws CaptureError InvalidConfiguration naming the word that is not an option, or lacks its value.
 */
export function readWords<const T extends ParseArgsOptionsConfig>(
  words: readonly string[],
  options: T,
) {
  try {
    return parseArgs({ args: [...words], options, allowPositionals: true });
  } catch (error) {
    throw misunderstood(messageOf(error, 300));
  }
}

/** A fault of the command line, for the person who wrote it. */
export function misunderstood(message: string): CaptureError {
  return new CaptureError('InvalidConfiguration', `${message} (--help says more)`);
}

/** Gathers the faults of several options, so that all are told at once. */
export class OptionReader<T extends Readonly<Record<string, unknown>>> {
  readonly #values: T;
  readonly #faults: string[] = [];

  constructor(values: T) {
    this.#values = values;
  }

  /** `undefined` where the option is not given, and where `of` does not understand it, which is noted. */
  read<V>(
    name: keyof T & string,
    accepted: string,
    of: (text: string) => V | undefined,
  ): V | undefined {
    const text = this.#values[name];
    if (typeof text !== 'string') return undefined;
    const value = of(text);
    if (value !== undefined) return value;
    this.#faults.push(
      `--${name} is ${JSON.stringify(text.slice(0, 120))}, accepted is ${accepted}`,
    );
    return undefined;
  }

  note(fault: string): void {
    this.#faults.push(fault);
  }

  /** @throws CaptureError InvalidConfiguration when a fault was noted. */
  check(): void {
    if (this.#faults.length > 0) throw misunderstood(this.#faults.join('; '));
  }
}

/**
 * Runs a command: what it throws is said on the error stream, and answered by an exit code; nothing that a terminal
 * would obey gets out.
 */
export async function runCommand<T extends Output>(
  name: string,
  io: T & { readonly stop?: AbortSignal },
  run: (io: T) => Promise<number>,
): Promise<number> {
  const safe: T = {
    ...io,
    write: (text: string) => io.write(terminalText(text)),
    writeError: (text: string) => io.writeError(terminalText(text)),
  };
  try {
    return await run(safe);
  } catch (error) {
    if (io.stop?.aborted === true) return exitCodes.interrupted;
    safe.writeError(`heapcatch ${name}: ${messageOf(error, 4_000)}\n`);
    return exitCodes.refused;
  }
}

/** What is given for a command's options. */
export type ValuesOf<O extends ParseArgsOptionsConfig> = ReturnType<typeof readWords<O>>['values'];

/** A command as its words are read. `operand` is what it takes beside options, for messages; absent where it takes none. */
export interface CommandShape<O extends ParseArgsOptionsConfig> {
  readonly name: string;
  readonly usage: string;
  readonly options: O;
  readonly operand?: string;
}

/** `runCommand` for a command of one operand, or none: reads its words, and answers --help. */
export function runShaped<T extends Output, O extends ParseArgsOptionsConfig>(
  { name, usage, options, operand }: CommandShape<O>,
  words: readonly string[],
  outside: T & { readonly stop?: AbortSignal },
  run: (io: T, values: ValuesOf<O>, operand: string) => Promise<number>,
): Promise<number> {
  return runCommand(name, outside, async (io) => {
    const { values, positionals } = readWords(words, { ...options, ...helpOption });
    const { help } = values as { help?: unknown };
    if (help === true) {
      io.write(usage);
      return exitCodes.done;
    }
    const [given = ''] = positionals;
    const right = operand === undefined ? positionals.length === 0 : positionals.length === 1;
    if (!right || (operand !== undefined && given === '')) {
      throw misunderstood(
        operand === undefined ? 'accepted are options only' : `accepted is one ${operand}`,
      );
    }
    return run(io, values, given);
  });
}
