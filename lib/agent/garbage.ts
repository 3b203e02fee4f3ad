import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

/**
 * Runs the garbage collector, a few milliseconds for the agent's small heap. A dump passes gigabytes through
 * buffers outside that heap, which V8 sees as little reason to run: left alone, some 60 MiB of sent frames
 * pile up. Buffers of zlib cannot be detached, and copying them into reused memory only made more garbage.
 */
export const collectGarbage: () => void = exposeCollector();

function exposeCollector(): () => void {
  setFlagsFromString('--expose-gc');
  return runInNewContext('() => gc()') as () => void;
}
