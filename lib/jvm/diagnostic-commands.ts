/**
 * Diagnostic commands of HotSpot, sent as `encodeAttachRequest('jcmd', [command])`, and their command lines.
 * Source: diagnosticCommand.cpp and DCmdArgIter in diagnosticFramework.cpp of OpenJDK 17 to 25.
 */
import { CaptureError } from '../errors.ts';

export const vmVersionCommand = 'VM.version';
export const heapInfoCommand = 'GC.heap_info';
/** -l adds lock owners, -e the CPU time and allocations of each thread. Takes under 20 ms. */
export const threadsCommand = 'Thread.print -l -e';
/** Answers with one line that says so where -XX:NativeMemoryTracking is off, which is the default. */
export const nativeMemoryCommand = 'VM.native_memory summary';
/** -all counts unreachable objects too; without it the JVM runs a full GC first. */
export const classHistogramCommand = 'GC.class_histogram -all';

/** The JVM that first dumps in parallel, into segments. */
export const firstParallelDumpMajor = 22;

export interface HeapDumpCommandOptions {
  jdkMajor: number;
  /** 1..64 threads; left out below JDK 22, where the option is unknown and the dump would not begin. */
  parallelCount?: number;
}

/**
 * The command of a heap dump of all objects, which needs no full GC. Never overwrites a file, and never
 * compresses: the JVM would do that inside the pause.
 * @param path absolute, as the JVM sees it.
 * @throws CaptureError DumpPlaceUnavailable: the JVM would read the path as something else.
 */
export function heapDumpCommand(path: string, options: HeapDumpCommandOptions): string {
  const { jdkMajor, parallelCount } = options;
  const parallel =
    parallelCount === undefined || jdkMajor < firstParallelDumpMajor
      ? ''
      : ` -parallel=${boundedParallelCount(parallelCount)}`;
  return `GC.heap_dump -all${parallel} ${quotedPath(path)}`;
}

/**
 * A path as one argument of a diagnostic command. The JVM splits at spaces and at `=`, honours both kinds of
 * quotes without an escape that works in all versions, ends a command at a line break, and in later versions
 * (25 does, 17 does not) replaces `%p` and `%%` in file names.
 * @throws CaptureError DumpPlaceUnavailable: not absolute, longer than 900 bytes, or with a character that
 *   cannot be sent: both quotes at once, backslash, percent, control characters.
 */
export function quotedPath(path: string): string {
  if (!path.startsWith('/')) throw refusedPath(path, 'it is not absolute');
  if (new TextEncoder().encode(path).length > maxPathBytes) {
    throw refusedPath(path, `it is longer than ${maxPathBytes} bytes`);
  }
  const wrong = /[\u0000-\u001f\u007f\\%]/.exec(path)?.[0];
  if (wrong !== undefined) throw refusedPath(path, `it has ${JSON.stringify(wrong)} in it`);
  if (!path.includes("'")) return `'${path}'`;
  if (!path.includes('"')) return `"${path}"`;
  throw refusedPath(path, 'it has both kinds of quotes');
}

/** The whole command line must fit into one argument of 1024 bytes. */
const maxPathBytes = 900;

function refusedPath(path: string, why: string): CaptureError {
  const shown = JSON.stringify(path.slice(0, 200));
  return new CaptureError(
    'DumpPlaceUnavailable',
    `the path ${shown} cannot be given to the JVM: ${why}; accepted are absolute paths up to ${maxPathBytes} bytes without backslash, percent, control characters, or both kinds of quotes`,
  );
}

function boundedParallelCount(count: number): number {
  if (Number.isInteger(count) && count >= 1 && count <= 64) return count;
  throw new CaptureError('DumpFailed', `${count} dump threads; accepted are 1 to 64`);
}
