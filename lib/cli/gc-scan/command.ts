import { addAbortSignal, type Readable } from 'node:stream';
import { CaptureError, messageOf } from '../../errors.ts';
import { GcLogScan } from '../../gc-log/gc-log-scan.ts';
import { createDelivery, type Delivery } from './deliver.ts';
import { followLog } from './follow-run.ts';
import { findSeries, openLog, type LogSeries } from './log-files.ts';
import { readGcScanOptions, usage, type GcScanOptions } from './options.ts';
import { jsonReport, type NamedReport } from './report-json.ts';
import { textReport } from './report-text.ts';

/** What the command touches of the outside. */
export interface GcScanIo {
  readonly stdin: Readable;
  write(text: string): void;
  writeError(text: string): void;
  readonly env: Readonly<Record<string, string | undefined>>;
  now(): Date;
  /** Ends `-f`. */
  readonly stop: AbortSignal;
  /** Of the webhook and the bus; the real ones unless told. */
  readonly delivery?: Delivery;
}

export const exitCodes = {
  within: 0,
  crossed: 1,
  refused: 2,
  notDelivered: 3,
  interrupted: 130,
} as const;

/** `heapcatch gc-scan`, on the process's own standard streams. */
export async function runGcScanCommand(words: readonly string[]): Promise<number> {
  const stop = new AbortController();
  for (const name of ['SIGINT', 'SIGTERM'] as const) process.once(name, () => stop.abort());
  // Whoever reads the output has gone (`| head`): Node would end with 1, which says that a limit is crossed.
  process.stdout.once('error', () => process.exit(exitCodes.refused));
  return gcScan(words, {
    stdin: process.stdin,
    write: (text) => void process.stdout.write(text),
    writeError: (text) => void process.stderr.write(text),
    env: process.env,
    now: () => new Date(),
    stop: stop.signal,
  });
}

/** Runs the command; what it cannot do is said on the error stream, with exit code 2. */
export async function gcScan(words: readonly string[], io: GcScanIo): Promise<number> {
  try {
    const options = readGcScanOptions(words, io.env);
    if (options.help) {
      io.write(usage);
      return exitCodes.within;
    }
    const delivery = io.delivery ?? createDelivery(options);
    const [input] = options.inputs;
    if (options.follow && input !== undefined) return await follow(input, options, delivery, io);
    const reports = input === '-' ? [await scanStream(options, io)] : await scanFiles(options, io);
    return await conclude(reports, options, delivery, io);
  } catch (error) {
    if (io.stop.aborted) return exitCodes.interrupted;
    io.writeError(`heapcatch gc-scan: ${messageOf(error, 4_000)}\n`);
    return exitCodes.refused;
  }
}

async function scanFiles(options: GcScanOptions, io: GcScanIo): Promise<readonly NamedReport[]> {
  const series = await findSeries(options.inputs);
  if (series.length === 0) {
    throw new CaptureError('InvalidConfiguration', `${options.inputs.join(', ')} holds no file`);
  }
  const reports: NamedReport[] = [];
  for (const one of series) reports.push(await scanSeries(one, options, io));
  const known = reports.filter(({ report }) => report.isGcLog);
  if (known.length === 0) throw notAGcLog(reports);
  for (const { name } of reports.filter((named) => !named.report.isGcLog)) {
    io.writeError(`heapcatch gc-scan: ${name} is no GC log, it is passed over\n`);
  }
  return known;
}

async function scanSeries(
  series: LogSeries,
  options: GcScanOptions,
  io: GcScanIo,
): Promise<NamedReport> {
  const scan = new GcLogScan(options);
  let lastModifiedEpochMilliseconds = 0;
  for (const { file, modifiedEpochMilliseconds } of series.files) {
    await readInto(scan, openLog(file), file, io.stop);
    scan.endOfFile();
    lastModifiedEpochMilliseconds = modifiedEpochMilliseconds;
  }
  scan.end();
  const report = scan.report({
    epochMilliseconds: io.now().getTime(),
    lastModifiedEpochMilliseconds,
  });
  return { name: series.name, fileCount: series.files.length, report };
}

async function scanStream(options: GcScanOptions, io: GcScanIo): Promise<NamedReport> {
  const scan = new GcLogScan(options);
  await readInto(scan, io.stdin, 'standard input', io.stop);
  scan.end();
  const named = {
    name: '-',
    fileCount: 1,
    report: scan.report({ epochMilliseconds: io.now().getTime() }),
  };
  if (!named.report.isGcLog) throw notAGcLog([named]);
  return named;
}

async function readInto(
  scan: GcLogScan,
  stream: Readable,
  name: string,
  stop: AbortSignal,
): Promise<void> {
  try {
    for await (const chunk of addAbortSignal(stop, stream)) scan.push(chunk as Buffer);
  } catch (error) {
    throw new CaptureError('InvalidConfiguration', `${name} cannot be read: ${messageOf(error)}`, {
      cause: error,
    });
  }
}

/** To call such a file calm would be a lie. */
function notAGcLog(reports: readonly NamedReport[]): CaptureError {
  const [first] = reports;
  const sample = first?.report.unparsedLines[0]?.text ?? '';
  const what = `of its ${first?.report.lines.lineCount ?? 0} lines hardly one is of a GC log of HotSpot; the first other one is "${sample}"`;
  return new CaptureError('InvalidConfiguration', `${first?.name ?? ''}: ${what}`);
}

async function conclude(
  reports: readonly NamedReport[],
  options: GcScanOptions,
  delivery: Delivery,
  io: GcScanIo,
): Promise<number> {
  const now = io.now();
  const body = jsonReport(reports, now);
  if (options.json) io.write(`${JSON.stringify(body)}\n`);
  else for (const named of reports) io.write(textReport(named));
  if (!reports.some(({ report }) => report.crossed.length > 0)) return exitCodes.within;
  const faults = await delivery.deliver(body, now);
  for (const fault of faults) io.writeError(`heapcatch gc-scan: ${fault}\n`);
  return faults.length === 0 ? exitCodes.crossed : exitCodes.notDelivered;
}

async function follow(
  input: string,
  options: GcScanOptions,
  delivery: Delivery,
  io: GcScanIo,
): Promise<number> {
  const body = (named: NamedReport, now: Date): Record<string, unknown> => jsonReport([named], now);
  await followLog(input, {
    options,
    delivery,
    output: {
      changed(named, now) {
        if (options.json) io.write(`${JSON.stringify(body(named, now))}\n`);
        else io.write(changeText(named, now));
      },
      note: (message) => io.writeError(`heapcatch gc-scan: ${message}\n`),
      body,
    },
    stdin: io.stdin,
    now: () => io.now(),
    stop: io.stop,
  });
  return io.stop.aborted ? exitCodes.interrupted : exitCodes.within;
}

function changeText(named: NamedReport, now: Date): string {
  const { crossed } = named.report;
  const time = now.toISOString();
  if (crossed.length === 0) return `${time} ${named.name}: within its limits again\n`;
  return crossed
    .map(({ message }) => `${time} ${named.name}: LIMIT CROSSED: ${message}\n`)
    .join('');
}
