/** Where a HotSpot JVM writes a dump by itself. */
export interface DumpOptions {
  /** -XX:+HeapDumpOnOutOfMemoryError. */
  readonly onOutOfMemoryError: boolean;
  /** -XX:HeapDumpPath, a directory or a file, relative to the working directory; absent: java_pid<n>.hprof there. */
  readonly heapDumpPath?: string;
}

/**
 * Reads the options of a JVM that name its dumps. Of several the last counts, and the command line comes after
 * JAVA_TOOL_OPTIONS. Options in a file (`@file`, -XX:Flags) are not seen.
 * Source: arguments.cpp and heapDumper.cpp of OpenJDK.
 * @param toolOptions value of JAVA_TOOL_OPTIONS; blanks separate, quotes hold together.
 */
export function parseDumpOptions(
  commandLine: readonly string[],
  toolOptions: string | undefined,
): DumpOptions {
  const options = [...splitToolOptions(toolOptions), ...commandLine];
  const flag = options.findLast((option) => /^-XX:[+-]HeapDumpOnOutOfMemoryError$/.test(option));
  const path = options
    .findLast((option) => option.startsWith('-XX:HeapDumpPath='))
    ?.slice('-XX:HeapDumpPath='.length);
  return {
    onOutOfMemoryError: flag?.startsWith('-XX:+') ?? false,
    ...(path !== undefined && path !== '' && { heapDumpPath: path }),
  };
}

/** As the JVM does it: a quote opens anywhere and holds until the same quote; there is no escape. */
export function splitToolOptions(text = ''): string[] {
  const found: string[] = [];
  for (const [word] of text.matchAll(/(?:"[^"]*"?|'[^']*'?|[^\s"'])+/g)) {
    found.push(word.replace(/"([^"]*)"?|'([^']*)'?/g, '$1$2'));
  }
  return found;
}
