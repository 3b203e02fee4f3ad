import { readFile, stat } from 'node:fs/promises';
import { parseArgs } from 'node:util';
import { CaptureError, messageOf } from '../../errors.ts';
import { parseClassHistogram } from '../../jvm/diagnostic-replies.ts';
import {
  compare,
  comparisonText,
  hasHeapBytes,
  histogramOf,
  type Histogram,
} from '../../report/compare.ts';
import { parseReport, type Report } from '../../report/report-schema.ts';
import type { ReportIo } from '../report/command.ts';

const usage = `heapcatch diff BEFORE AFTER [--json] [--top COUNT]

Compares two states of one workload, by class and by what keeps most: what grew. Each is a report.json of
"heapcatch report", or a class histogram as jcmd GC.class_histogram prints it (class-histogram.txt of a capture).

Exit codes: 0 compared, 2 not understood or not possible.
`;

const maxFileBytes = 256 * 1024 * 1024;
const maxRowCount = 1_000_000;
const defaultShownCount = 20;

/** `heapcatch diff`, on the process's own streams. */
export function runDiffCommand(words: readonly string[]): Promise<number> {
  return diff(words, {
    write: (text) => void process.stdout.write(text),
    writeError: (text) => void process.stderr.write(text),
  });
}

/** Runs the command; what it cannot do is said on the error stream. */
export async function diff(words: readonly string[], io: ReportIo): Promise<number> {
  try {
    const { values, positionals } = parseArgs({
      args: [...words],
      allowPositionals: true,
      options: {
        json: { type: 'boolean' },
        top: { type: 'string' },
        help: { type: 'boolean', short: 'h' },
      },
    });
    if (values.help) {
      io.write(usage);
      return 0;
    }
    const [before, after] = positionals;
    const shownCount = countOf(values.top);
    if (before === undefined || after === undefined || positionals.length > 2) {
      throw new CaptureError(
        'InvalidConfiguration',
        `two files are accepted, got ${positionals.length}; see heapcatch diff --help`,
      );
    }
    const comparison = compare(...inOneCount(await readSide(before), await readSide(after)));
    io.write(
      values.json ? `${JSON.stringify(comparison)}\n` : comparisonText(comparison, shownCount),
    );
    return 0;
  } catch (error) {
    io.writeError(`heapcatch diff: ${messageOf(error, 2_000)}\n`);
    return 2;
  }
}

function countOf(text: string | undefined): number {
  if (text === undefined) return defaultShownCount;
  if (/^[1-9]\d{0,5}$/.test(text)) return Number(text);
  throw new CaptureError('InvalidConfiguration', '--top: accepted is a whole number from 1 on');
}

type Side =
  | { readonly kind: 'report'; readonly report: Report }
  | { readonly kind: 'histogram'; readonly histogram: Histogram };

async function readSide(path: string): Promise<Side> {
  const text = await readBounded(path);
  if (text.trimStart().startsWith('{')) {
    return { kind: 'report', report: parseReport(parsed(text, path), path) };
  }
  const { rows } = parseClassHistogram(text, maxRowCount);
  if (rows.length === 0) {
    throw new CaptureError(
      'InvalidReport',
      `${path} is neither a report.json nor a class histogram of jcmd`,
    );
  }
  const byName = new Map<string, { instanceCount: number; bytes: number }>();
  let total = 0;
  for (const { className, instances, bytes } of rows) {
    const known = byName.get(className) ?? { instanceCount: 0, bytes: 0 };
    known.instanceCount += instances;
    known.bytes += bytes;
    total += bytes;
    byName.set(className, known);
  }
  const histogram: Histogram = {
    bytes: total,
    counting: 'heap',
    rows: byName,
    suspects: new Map(),
  };
  return { kind: 'histogram', histogram };
}

async function readBounded(path: string): Promise<string> {
  try {
    const { size } = await stat(path);
    if (size > maxFileBytes) throw new Error(`it has ${size} bytes, over ${maxFileBytes}`);
    return await readFile(path, 'utf8');
  } catch (cause) {
    throw new CaptureError('InvalidReport', `${path} cannot be read: ${messageOf(cause)}`, {
      cause,
    });
  }
}

function parsed(text: string, path: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new CaptureError('InvalidReport', `${path} is not JSON`, { cause });
  }
}

/** Bytes count as in the heap where both sides know them so. */
function inOneCount(before: Side, after: Side): [Histogram, Histogram] {
  const isInHeap = [before, after].every(
    (side) => side.kind === 'histogram' || hasHeapBytes(side.report),
  );
  const isMixed = before.kind !== after.kind;
  if (isMixed && !isInHeap) {
    throw new CaptureError(
      'InvalidReport',
      'a class histogram counts bytes in the heap, and the report has none: make it again without --no-retained',
    );
  }
  const counted = (side: Side): Histogram =>
    side.kind === 'histogram'
      ? side.histogram
      : histogramOf(side.report, isInHeap ? 'heap' : 'dump');
  return [counted(before), counted(after)];
}
