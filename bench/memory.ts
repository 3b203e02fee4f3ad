import { runAgent, type AgentRun } from './agent-run.ts';
import { Lab } from './lab.ts';
import { metricOf, type Metric } from './report.ts';
import { benchJdks, heapMebibytes, repeatCount, say, setting } from './settings.ts';

const mebibyte = 1024 * 1024;
const targetMebibytes = 64;

/**
 * The agent's largest resident size (VmHWM) at dumps of a tenth, three tenths and the whole of HEAPCATCH_BENCH_MIB, and
 * of HEAPCATCH_BENCH_LARGE_MIB (none; a comma list, "4096,10240" for the record): how it grows with the dump, by least
 * squares, and how large it is at most.
 */
export function benchAgentMemory(): Promise<readonly Metric[]> {
  const largest = heapMebibytes();
  const sizes = [largest / 10, (largest * 3) / 10, largest, ...largeMebibytes()].map(Math.ceil);
  return Lab.use(async (lab) => {
    const points: { dumpBytes: number; residentBytes: number }[] = [];
    // One JDK is enough: what the JVM runs on does not change what the agent holds, except in segments.
    for (const jdk of benchJdks()) {
      for (const mebibytes of sizes) {
        const jvm = await lab.startJvm(jdk, 'arrays', mebibytes);
        const { dump, objectKey, peakResidentBytes } = await runAgent(lab, jvm);
        await jvm.kill();
        await lab.s3.objects.deleteObject(objectKey);
        const point = { dumpBytes: dump.rawBytes, residentBytes: peakResidentBytes };
        say(JSON.stringify({ jdk: jdk.major, ...point }));
        points.push(point);
      }
    }
    const dumps = points.map(({ dumpBytes }) => dumpBytes);
    const range = Math.max(...dumps) - Math.min(...dumps);
    const peak = Math.max(...points.map(({ residentBytes }) => residentBytes)) / mebibyte;
    return [
      metricOf('agent-memory/slope', [{ ours: slopeOf(points) * range, reference: range }]),
      metricOf('agent-memory/peak', [{ ours: peak, reference: targetMebibytes }]),
    ];
  });
}

function largeMebibytes(): number[] {
  const text = setting('HEAPCATCH_BENCH_LARGE_MIB', '');
  if (text === '') return [];
  const values = text.split(',').map(Number);
  if (values.every((value) => Number.isInteger(value) && value >= 1 && value <= 65_536))
    return values;
  throw new Error(
    `HEAPCATCH_BENCH_LARGE_MIB is ${JSON.stringify(text)}; accepted is a comma list of whole numbers of 1 to 65536`,
  );
}

/** Bytes of memory for each byte of dump. */
function slopeOf(points: readonly { dumpBytes: number; residentBytes: number }[]): number {
  const mean = (pick: (point: (typeof points)[number]) => number): number =>
    points.reduce((sum, point) => sum + pick(point), 0) / points.length;
  const meanDump = mean((point) => point.dumpBytes);
  const meanResident = mean((point) => point.residentBytes);
  const covariance = mean(
    (point) => (point.dumpBytes - meanDump) * (point.residentBytes - meanResident),
  );
  return covariance / mean((point) => (point.dumpBytes - meanDump) ** 2);
}

/** Most bytes that a dump's files occupied on the disk at once, against the size of the dump. */
export function benchRest(): Promise<readonly Metric[]> {
  return Lab.use(async (lab) => {
    const metrics: Metric[] = [];
    for (const jdk of benchJdks()) {
      const jvm = await lab.startJvm(jdk, 'objects', heapMebibytes());
      const runs: AgentRun[] = [];
      for (let repeat = 0; repeat < repeatCount(); repeat += 1) {
        const run = await runAgent(lab, jvm);
        await lab.s3.objects.deleteObject(run.objectKey);
        say(JSON.stringify({ jdk: jdk.major, repeat, peakRestingBytes: run.peakRestingBytes }));
        runs.push(run);
      }
      await jvm.kill();
      metrics.push(
        metricOf(
          `rest/${jdk.major}`,
          runs.map((run) => ({ ours: run.peakRestingBytes, reference: run.dump.rawBytes })),
        ),
      );
    }
    return metrics;
  });
}
