import { afterEach, beforeEach, describe, expect, it, jest } from '@jest/globals';
import { Sensor } from '../../lib/agent/sensor.ts';
import type { JvmReading } from '../../lib/jvm/jvm-metrics.ts';
import {
  evaluateThresholds,
  initialThresholdState,
  type MetricThreshold,
} from '../../lib/policy/thresholds.ts';
import type { Jdk } from '../../lib/local/jdks.ts';
import { recordingLog } from '../forwarder/fakes.ts';
import { cgroupLine } from '../agent/proc-folder.ts';
import { podUid } from '../agent/tickets.ts';
import { AgentLab } from './agent-lab.ts';
import { jdksUnderTest } from './jdks.ts';

jest.setTimeout(120_000);

let lab: AgentLab;
let sensor: Sensor;
beforeEach(() => {
  lab = new AgentLab();
  sensor = new Sensor({
    ...{ procRoot: lab.proc.path, now: () => Date.now(), tell: () => undefined },
    log: recordingLog().log,
  });
});
afterEach(async () => {
  await sensor.stop();
  await lab.close();
});

const idOf = (container: number): string => container.toString(16).padStart(64, '0');
const inContainer = (container: number) => ({ cgroup: cgroupLine(podUid, idOf(container)) });
const readingOf = (container: number): JvmReading | undefined =>
  sensor.sensed().find(({ jvm }) => jvm.runtimeID === idOf(container))?.reading;

/** Ticks five times a second until it is so. @throws after a minute. */
async function senseUntil(what: string, met: () => boolean): Promise<void> {
  for (let tick = 0; tick < 300; tick += 1) {
    await new Promise((resolve) => setTimeout(resolve, 200));
    await sensor.tick();
    if (met()) return;
  }
  throw new Error(`never happened: ${what}; ${JSON.stringify(sensor.sensed())}`);
}

/** What fires of these thresholds for a container, judged reading by reading. */
function judge(thresholds: readonly MetricThreshold[]) {
  let state = initialThresholdState;
  const fired: string[] = [];
  return (reading: JvmReading | undefined): readonly string[] => {
    if (reading === undefined) return fired;
    const judged = evaluateThresholds(thresholds, state, reading);
    state = judged.state;
    fired.push(...judged.fired.map(({ reason }) => reason));
    return fired;
  };
}

/** ZGC was experimental before JDK 15; that of 11 ends in an OutOfMemoryError at 128 MiB. */
function collectorsOf({ major }: Jdk): readonly string[] {
  return ['Serial', 'Parallel', 'G1', ...(major < 15 ? [] : ['Z']), 'Shenandoah'];
}

describe.each(jdksUnderTest().map((jdk) => [jdk.version, jdk] as const))(
  'the sensor beside JDK %s',
  (_version, jdk) => {
    it('tells a storm of full collections from a JVM that allocates as much and is well', async () => {
      const small = ['-Xmx64m', '-XX:+UseSerialGC', '-XX:-UseGCOverheadLimit'];
      await lab.startJvm(jdk, 'SlowLeak', {
        ...{ args: ['20'], jvmArgs: small },
        ...inContainer(1),
      });
      await lab.startJvm(jdk, 'GcStorm', {
        ...{ args: ['50'], jvmArgs: small },
        ...inContainer(2),
      });
      // Far from either: a storm takes half of the time and more, the other one a thousandth.
      const thresholds: MetricThreshold[] = [
        { metric: 'gcTimePercent', above: 20, windowSeconds: 10, forSeconds: 0 },
        { metric: 'heapAfterGcPercent', above: 90, forSeconds: 0 },
      ];
      const [calm, stormy] = [judge(thresholds), judge(thresholds)];

      await senseUntil('both signals of the storm', () => {
        calm(readingOf(1));
        return stormy(readingOf(2)).length === 2;
      });

      expect([...stormy(undefined)].sort()).toEqual(['GcStorm', 'HeapNearLimit']);
      expect(calm(readingOf(1))).toEqual([]);
      expect(readingOf(1)?.totals.youngGcCount).toBeGreaterThan(0);
      expect(readingOf(2)?.totals.fullGcCount).toBeGreaterThan(50);
    });

    it('sees a heap fill up before it is full, under every collector', async () => {
      const jvms = await Promise.all(
        collectorsOf(jdk).map(async (collector, container) => {
          const java = await lab.startJvm(jdk, 'SlowLeak', {
            args: ['30'],
            jvmArgs: ['-Xmx128m', `-XX:+Use${collector}GC`],
            ...inContainer(container),
          });
          const near = judge([{ metric: 'heapAfterGcPercent', above: 60, forSeconds: 0 }]);
          return { java, seen: () => near(readingOf(container)).length > 0 };
        }),
      );
      let kept = 30;

      await senseUntil('every heap near its limit', () => {
        kept += 4;
        if (kept < 92) for (const { java } of jvms) java.stdin?.write('\n\n\n\n');
        return jvms.map(({ seen }) => seen()).every(Boolean);
      });

      expect(jvms.map(({ java }) => java.exitCode)).toEqual(jvms.map(() => null));
    });

    it('finds the counters of a JVM that shares them with nobody', async () => {
      await lab.startJvm(jdk, 'SlowLeak', {
        ...{ args: ['20'], jvmArgs: ['-Xmx64m', '-XX:+UseSerialGC', '-XX:+PerfDisableSharedMem'] },
        ...inContainer(1),
      });

      await senseUntil('its collections', () => (readingOf(1)?.totals.youngGcCount ?? 0) > 1);

      expect(readingOf(1)?.values.heapUsedPercent).toBeGreaterThan(0);
    });

    it('knows nothing but its container’s memory of a JVM without counters', async () => {
      const none = await lab.startJvm(jdk, 'SlowLeak', {
        ...{ args: ['1'], jvmArgs: ['-XX:-UsePerfData'], ownCgroup: true },
        ...inContainer(1),
      });
      await senseUntil('a reading', () => readingOf(1) !== undefined);
      expect(readingOf(1)?.totals).toEqual({});
      expect(readingOf(1)?.values).not.toHaveProperty('heapUsedPercent');

      none.kill('SIGKILL');
      await senseUntil('its end', () => readingOf(1) === undefined);
    });
  },
);
