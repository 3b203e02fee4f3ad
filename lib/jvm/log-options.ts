import { splitToolOptions } from './dump-options.ts';

/** Where a HotSpot JVM writes its logs, by its options. Names can hold `%p`, `%t`, `%hn`; relative to the working directory. */
export interface LogOptions {
  /** -XX:ErrorFile. */
  readonly errorFile?: string;
  /** Files of -Xlog with the tag gc, and of -Xloggc; at most 8. */
  readonly gcLogs: readonly string[];
}

const maxGcLogCount = 8;

/**
 * Reads the options of a JVM that name its crash log and its GC log. Options in a file (`@file`, -XX:Flags) are not seen.
 * Source: logConfiguration.cpp, logOutputList and arguments.cpp of OpenJDK 9 to 25; -Xloggc of JDK 8.
 * @param toolOptions value of JAVA_TOOL_OPTIONS.
 */
export function parseLogOptions(
  commandLine: readonly string[],
  toolOptions: string | undefined,
): LogOptions {
  const options = [...splitToolOptions(toolOptions), ...commandLine];
  const errorFile = options
    .findLast((option) => option.startsWith('-XX:ErrorFile='))
    ?.slice('-XX:ErrorFile='.length);
  const gcLogs = options.flatMap((option) => gcLogOf(option) ?? []);
  return {
    ...(errorFile !== undefined && errorFile !== '' && { errorFile }),
    gcLogs: [...new Set(gcLogs)].slice(-maxGcLogCount),
  };
}

/** `-Xlog:<what>:<output>:<decorators>:<options>`; an output without a prefix is a file. */
function gcLogOf(option: string): string | undefined {
  const old = /^-Xloggc:(.+)$/.exec(option)?.[1];
  if (old !== undefined) return old;
  const [, what = '', output = ''] =
    /^-Xlog:([^:]*):("[^"]*"|(?:file=)?(?:"[^"]*"|[^":]*))/.exec(option) ?? [];
  const file = output.replace(/^file=/, '').replaceAll('"', '');
  if (file === '' || /^(?:stdout|stderr|#\d+)$/.test(file)) return undefined;
  return /(?:^|[,+])(?:gc|all)(?:[*+=,]|$)/.test(what) ? file : undefined;
}

/**
 * What a file's name must look like to be of the log of that name: of any process and start time, rotated or not.
 * Source: logFileOutput.cpp of OpenJDK: `%p` is the pid, `%t` the start time, `%hn` the host, `.0`, `.1`… are older ones.
 * A name with more placeholders than one of each kind matches nothing: the container's owner chooses it, and many of them would
 * take for ever to match.
 * @param name the last part of the path.
 */
export function logNamePattern(name: string): RegExp {
  const used = [...name.matchAll(/%hn|%p|%t/g)].map(([placeholder]) => placeholder);
  if (new Set(used).size < used.length) return /(?!)/;
  const pattern = name
    .split(/(%hn|%p|%t|%%)/)
    .map((part) => placeholders[part] ?? part.replace(/[.*+?^${}()|[\]\\/-]/g, String.raw`\$&`))
    .join('');
  return new RegExp(String.raw`^${pattern}(?:\.\d{1,3})?(?:\.current)?$`);
}

const placeholders: Readonly<Record<string, string>> = {
  '%p': String.raw`\d{1,10}`,
  '%t': String.raw`[\d_-]{10,20}`,
  '%hn': '.{1,253}',
  '%%': '%',
};
