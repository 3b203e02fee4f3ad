import { mkdir, rename, writeFile } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { renderPage } from '../../report/page/render-page.ts';
import type { Report } from '../../report/report-schema.ts';

export interface WrittenReport {
  readonly jsonPath: string;
  readonly pagePath: string;
}

/** Where a dump's report goes when nobody says: beside it, `heap.hprof.zst` → `heap-report`. */
export function reportFolderOf(dumpPath: string): string {
  const name = basename(dumpPath)
    .replace(/\.(zst|gz)$/, '')
    .replace(/\.hprof$/, '');
  return join(dirname(dumpPath), `${name}-report`);
}

/** Writes `report.json` and `report.html`, in place of those that are there; each appears whole. */
export async function writeReport(folder: string, report: Report): Promise<WrittenReport> {
  await mkdir(folder, { recursive: true });
  const jsonPath = resolve(folder, 'report.json');
  const pagePath = resolve(folder, 'report.html');
  await writeWhole(jsonPath, `${JSON.stringify(report, null, 1)}\n`);
  await writeWhole(pagePath, renderPage(report));
  return { jsonPath, pagePath };
}

async function writeWhole(path: string, text: string): Promise<void> {
  await writeFile(`${path}.part`, text, { mode: 0o600 });
  await rename(`${path}.part`, path);
}
