import { mkdtemp, open } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { ObjectStore } from '../../capture/ports.ts';
import { createReport } from '../../cli/report/create-report.ts';
import { openDump } from '../../cli/report/dump-source.ts';
import { writeReport } from '../../cli/report/write-report.ts';
import type { IndexEntry } from '../../dump-index/index-entry.ts';
import { captureFactsOf } from '../../report/capture-facts.ts';

const rangeBytes = 8 * 1024 * 1024;

export interface DemoReport {
  /** What filled the heap, in one sentence. */
  readonly verdict: string;
  readonly pagePath: string;
}

/**
 * Reads the stored dump into the demo's folder and reports on it. The page goes to a folder of its own, which outlives the
 * demo.
 * @returns nothing where the capture has no dump.
 */
export async function reportOnCapture(
  objects: ObjectStore,
  entry: IndexEntry,
  folder: string,
): Promise<DemoReport | undefined> {
  const dump = entry.objects.heapDump;
  if (dump === undefined) return undefined;
  const path = join(folder, 'heap.hprof.zst');
  const file = await open(path, 'wx', 0o600);
  try {
    for (let start = 0; start < dump.compressedBytes; start += rangeBytes) {
      const end = Math.min(start + rangeBytes, dump.compressedBytes) - 1;
      const range = await objects.getObject(dump.objectKey, {
        maxBytes: rangeBytes,
        range: { start, end },
      });
      if (range === undefined) return undefined;
      await file.writeFile(range);
    }
  } finally {
    await file.close();
  }
  const capture = captureFactsOf(entry);
  const report = await createReport(await openDump(path), { fileName: dump.objectKey, capture });
  const { pagePath } = await writeReport(
    await mkdtemp(join(tmpdir(), 'heapcatch-report-')),
    report,
  );
  return { verdict: report.verdict, pagePath };
}
