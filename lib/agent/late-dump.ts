import type { AttachedJvm } from './attach.ts';
import type { DumpPlace } from './dump-place.ts';

/** An attached JVM that remembers whether it owes an answer to a command that went out. */
export interface WatchedJvm extends AttachedJvm {
  readonly owesAnswer: boolean;
}

export function watchAnswers(attached: AttachedJvm): WatchedJvm {
  let owed = 0;
  return {
    get owesAnswer() {
      return owed > 0;
    },
    run: async (command, options) => {
      // Aborted before, it does not go out.
      if (!options.signal.aborted) owed += 1;
      const reply = await attached.run(command, options);
      owed -= 1;
      return reply;
    },
    close: () => attached.close(),
  };
}

/**
 * Sees to it that a dump which was asked for in vain is not written later, for nobody: a JVM cannot be told to forget a
 * command, and carries it out when it comes to its safepoint at last, a pause and gigabytes on a disk from which nobody
 * would remove them. HotSpot never dumps over a file that is there, so an empty one in its place refuses the dump before it
 * begins; it stays, for it is not known when the JVM asks.
 */
export async function forbidLateDump(place: DumpPlace): Promise<void> {
  if ((await place.occupy()) === 'occupied') return;
  // The JVM has created its file just now: what it writes goes when it closes it.
  await place.remove();
}
