import { openLog } from '../../lib/cli/gc-scan/log-files.ts';
import { GcLogScan } from '../../lib/gc-log/gc-log-scan.ts';

/** Reads one GC log as `heapcatch gc-scan` does: twice, of which the second time counts, as GcToolkitRun.java does. */
async function run(file: string): Promise<{ collectionCount: number; pauseSeconds: number }> {
  const scan = new GcLogScan({ limits: {} });
  for await (const chunk of openLog(file)) scan.push(chunk as Buffer);
  scan.end();
  const { counts, causes } = scan.report({ epochMilliseconds: Date.now() }).statistics;
  return {
    collectionCount: counts.young + counts.mixed + counts.full,
    // Only collections have causes.
    pauseSeconds: causes.reduce((sum, cause) => sum + cause.pauseSeconds, 0),
  };
}

const file = process.argv[2] ?? '';
await run(file);
const start = process.hrtime.bigint();
const found = await run(file);
const seconds = Number(process.hrtime.bigint() - start) / 1e9;
process.stdout.write(`${JSON.stringify({ seconds, ...found })}\n`);
