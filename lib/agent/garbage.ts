import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

/** So much of what the compressor made is copied before its buffers are freed. */
const collectedBytes = 2 * 1024 * 1024;

/** A collection of the young generation alone: it holds what the compressor made since the last one, and takes less than a millisecond. */
const collectYoungGarbage = exposeCollector();
let garbageBytes = 0;

/**
 * Is told of bytes of dead buffers, and runs the garbage collector now and then. A dump passes gigabytes through buffers
 * outside V8's heap, which sees little reason to run. Buffers of zlib can neither be given to it nor detached.
 */
export function noteGarbage(bytes: number): void {
  garbageBytes += bytes;
  if (garbageBytes < collectedBytes) return;
  garbageBytes = 0;
  collectYoungGarbage();
}

function exposeCollector(): () => void {
  setFlagsFromString('--expose-gc');
  return runInNewContext("() => gc({ type: 'minor' })") as () => void;
}
