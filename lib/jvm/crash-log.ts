/** What the head of a crash log (hs_err_pid<n>.log) says of the end of a JVM. */
export interface CrashFacts {
  /**
   * `javaOutOfMemory`: -XX:+CrashOnOutOfMemoryError. `nativeOutOfMemory`: the system gave the JVM no more memory.
   * `signal` and `internalError`: a crash of the JVM or of native code in it.
   */
  readonly kind: 'javaOutOfMemory' | 'nativeOutOfMemory' | 'signal' | 'internalError' | 'unknown';
  /** The line that says why, at most 200 characters, printable ASCII. */
  readonly cause?: string | undefined;
  /** Where it happened, e.g. `C  [libzip.so+0x1f2]`. */
  readonly frame?: string | undefined;
}
export const crashKinds = [
  'javaOutOfMemory',
  'nativeOutOfMemory',
  'signal',
  'internalError',
  'unknown',
] as const satisfies readonly CrashFacts['kind'][];

/** All of it stands in the first lines, which begin with `#`. */
export const crashHeadBytes = 8 * 1024;
const maxLineLength = 200;

/** In this order: an OutOfMemoryError is an internal error too, by the line that names the source file. */
const kinds: readonly (readonly [CrashFacts['kind'], RegExp])[] = [
  ['javaOutOfMemory', /^(?:fatal error: )?OutOfMemory encountered: /],
  ['nativeOutOfMemory', /^Native memory allocation \(|^Out of Memory Error /],
  ['signal', /^(?:SIG[A-Z]+|EXCEPTION_[A-Z_]+) \(0x/],
  ['internalError', /^Internal Error|^fatal error: |^guarantee\(|^assert\(/],
];

/**
 * Reads the head of a crash log; `undefined` when it is none. Never throws, whatever the text.
 * Source: vmError.cpp of OpenJDK, VMError::report, and debug.cpp, report_java_out_of_memory; JDK 8 to 25.
 */
export function readCrashHead(text: string): CrashFacts | undefined {
  const lines = text
    .slice(0, crashHeadBytes)
    .split('\n')
    .slice(0, 60)
    .map((line) => /^#(.*)$/.exec(line.trimEnd())?.[1]?.trim());
  const isCrashLog = lines.some((line) =>
    /^A fatal error has been detected by the Java Runtime Environment|^There is insufficient memory for the Java Runtime/.test(
      line ?? '',
    ),
  );
  if (!isCrashLog) return undefined;
  const at = lines.findIndex((line) => line !== undefined && /^Problematic frame:/.test(line));
  const frame = at === -1 ? undefined : lines.slice(at + 1).find((line) => line);
  for (const [kind, pattern] of kinds) {
    const cause = lines.find((line) => line !== undefined && pattern.test(line));
    if (cause !== undefined)
      return { kind, cause: shown(cause), ...(frame && { frame: shown(frame) }) };
  }
  return { kind: 'unknown', ...(frame && { frame: shown(frame) }) };
}

function shown(line: string): string {
  return line.replace(/[^\u0020-\u007e]/g, '?').slice(0, maxLineLength);
}
