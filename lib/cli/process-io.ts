import { setTimeout as sleep } from 'node:timers/promises';
import type { ContextPlace } from '../kubernetes/context-place.ts';
import { exitCodes, type Output } from './command-line.ts';
import type { Place, PlaceOrder } from './place.ts';
import { lineText } from './terminal-text.ts';

/** What the commands on captures touch of the outside. */
export interface CliIo extends Output {
  openPlace(order: PlaceOrder): Promise<Place>;
  /** Of the caller's kubeconfig: the named context, or the current one. */
  contextPlace(contextName: string | undefined): Promise<ContextPlace>;
  readonly env: Readonly<Record<string, string | undefined>>;
  now(): Date;
  /** Aborted by SIGINT and SIGTERM. */
  readonly stop: AbortSignal;
  /** Ends early, with its reason, when `stop` is aborted. */
  pause(millis: number): Promise<void>;
  /** Writes over the line that is shown; absent where nobody looks at a terminal. */
  readonly redraw?: ((line: string) => void) | undefined;
}

/** The process's own streams, and the account of its environment. */
export function processIo(): CliIo {
  const stop = new AbortController();
  for (const name of ['SIGINT', 'SIGTERM'] as const) {
    process.once(name, () => stop.abort(new Error('interrupted')));
  }
  // Whoever reads the output has gone (`| head`).
  process.stdout.once('error', () => process.exit(exitCodes.refused));
  return {
    // The SDKs load when they are needed: a help text or a wrong word is answered at once.
    openPlace: async (order) => {
      const { openAwsPlace } = await import('./aws-place.ts');
      return stoppable(await openAwsPlace(order, process.env), stop.signal);
    },
    contextPlace: async (contextName) =>
      (await import('../kubernetes/context-place.ts')).readContextPlace(contextName),
    env: process.env,
    write: (text) => void process.stdout.write(text),
    writeError: (text) => void process.stderr.write(text),
    now: () => new Date(),
    stop: stop.signal,
    pause: async (millis) => {
      await sleep(millis, undefined, { signal: stop.signal });
    },
    redraw: process.stderr.isTTY ? redraw : undefined,
  };
}

/** A command that was interrupted asks for no more. */
function stoppable(place: Place, stop: AbortSignal): Place {
  const { objects } = place;
  return {
    ...place,
    objects: {
      ...objects,
      getObject: async (objectKey, bounds) => {
        stop.throwIfAborted();
        return objects.getObject(objectKey, bounds);
      },
      listObjects: async (prefix, bounds) => {
        stop.throwIfAborted();
        return objects.listObjects(prefix, bounds);
      },
    },
  };
}

/** To the line's begin, the text, and nothing behind it; cut, since a line that wraps could not be written over. */
function redraw(line: string): void {
  const columns = process.stderr.columns || 80;
  process.stderr.write(`\r${lineText(line).slice(0, columns - 1)}\u001b[K`);
}
