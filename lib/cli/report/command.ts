import { readFile } from 'node:fs/promises';
import { basename } from 'node:path';
import { parseArgs } from 'node:util';
import { parseIndexEntry } from '../../dump-index/index-entry.ts';
import { CaptureError, messageOf } from '../../errors.ts';
import { captureFactsOf } from '../../report/capture-facts.ts';
import { shown } from '../../validation.ts';
import type { CaptureFacts } from '../../report/report-schema.ts';
import { createReport } from './create-report.ts';
import { openDump } from './dump-source.ts';
import { reportFolderOf, writeReport } from './write-report.ts';

const usage = `heapcatch report FILE [--to FOLDER] [--index ENTRY.json] [--max-memory MIB | --no-retained]

Reads a heap dump (hprof, plain or in zstd or gzip) and writes report.json and report.html: what fills the heap and what
keeps it. Needs nothing else: no cluster, no AWS. The page makes no request to anywhere.

--to FOLDER         where to write; default: beside the dump, heap.hprof.zst → heap-report/
--index ENTRY.json  the capture's index entry: the page then tells how the pod died
--max-memory MIB    memory for finding what keeps what; default: 60 % of what is free. With less, the rest is reported
--no-retained       do not find out what keeps what: one pass, and memory that does not grow with the dump

Exit codes: 0 written, 1 written but the dump is not whole, 2 not understood or not possible.
`;

/** What the command says, and where. */
export interface ReportIo {
  write(text: string): void;
  writeError(text: string): void;
}

/** `heapcatch report`, on the process's own streams. */
export function runReportCommand(words: readonly string[]): Promise<number> {
  return report(words, {
    write: (text) => void process.stdout.write(text),
    writeError: (text) => void process.stderr.write(text),
  });
}

/** Runs the command; what it cannot do is said on the error stream. */
export async function report(words: readonly string[], io: ReportIo): Promise<number> {
  try {
    const order = readWords(words);
    if (order === 'help') {
      io.write(usage);
      return 0;
    }
    const source = await openDump(order.file);
    const capture = order.index === undefined ? undefined : await captureOf(order.index);
    const made = await createReport(source, {
      fileName: basename(order.file),
      capture,
      maxMemoryBytes: order.maxMemoryBytes,
    });
    const { pagePath } = await writeReport(order.folder, made);
    for (const warning of made.warnings) io.writeError(`${warning}\n`);
    io.write(`${made.verdict}\n${pagePath}\n`);
    return made.dump.whole ? 0 : 1;
  } catch (error) {
    io.writeError(`heapcatch report: ${messageOf(error, 2_000)}\n`);
    return 2;
  }
}

interface Order {
  readonly file: string;
  readonly folder: string;
  readonly index: string | undefined;
  readonly maxMemoryBytes: number | undefined;
}

function readWords(words: readonly string[]): Order | 'help' {
  const { values, positionals } = parseArgs({
    args: [...words],
    allowPositionals: true,
    options: {
      to: { type: 'string' },
      index: { type: 'string' },
      'max-memory': { type: 'string' },
      'no-retained': { type: 'boolean' },
      help: { type: 'boolean', short: 'h' },
    },
  });
  if (values.help) return 'help';
  const [file] = positionals;
  if (file === undefined || positionals.length > 1) {
    throw new CaptureError(
      'InvalidConfiguration',
      `one heap dump is accepted, got ${positionals.length}; see heapcatch report --help`,
    );
  }
  return {
    file,
    folder: values.to ?? reportFolderOf(file),
    index: values.index,
    maxMemoryBytes: values['no-retained'] ? 0 : memoryOf(values['max-memory']),
  };
}

function memoryOf(mebibytes: string | undefined): number | undefined {
  if (mebibytes === undefined) return undefined;
  if (/^[1-9]\d{0,8}$/.test(mebibytes)) return Number(mebibytes) * 2 ** 20;
  throw new CaptureError(
    'InvalidConfiguration',
    `--max-memory ${shown(mebibytes)}: accepted is a whole number of MiB`,
  );
}

async function captureOf(path: string): Promise<CaptureFacts> {
  return captureFactsOf(parseIndexEntry(await readFile(path, 'utf8')));
}
