import { describe, expect, it } from '@jest/globals';
import { SensorHistory } from '../../lib/forwarder/sensor-history.ts';
import { SensorWatch } from '../../lib/forwarder/sensor-watch.ts';
import type { ContainerFacts } from '../../lib/policy/pod-facts.ts';
import type { MetricSample } from '../../lib/policy/thresholds.ts';
import type { SensedContainer } from '../../lib/signal/sensor-report.ts';
import { anIntake, aPod, recordingLog, startTime } from './fakes.ts';

const runtimeID = 'ab'.repeat(32);

function watchOf(
  annotations: Record<string, string> = {},
  nodeName = 'node-1',
  judgedBySensor = true,
  last?: NonNullable<ContainerFacts['lastTermination']>,
) {
  const pod = aPod({ annotations, nodeName });
  const [app] = pod.containers;
  const container = { ...app!, containerID: `containerd://${runtimeID}` };
  const { log } = recordingLog();
  const { intake, sent } = anIntake(
    [{ ...pod, containers: [{ ...container, ...(last && { lastTermination: last }) }] }],
    { log },
  );
  const history = new SensorHistory();
  const judged: ConstructorParameters<typeof SensorWatch>[0]['intake'] = {
    submit: (word) => intake.submit(word),
    watchOf: (...which) => intake.watchOf(...which),
    running: (...which) => {
      const found = intake.running(...which);
      return found && { ...found, judgedBySensor };
    },
  };
  const watch = new SensorWatch({ intake: judged, history, now: () => startTime, log });
  const report = (samples: readonly Partial<MetricSample>[], of: Partial<SensedContainer> = {}) =>
    watch.take({
      ...{ schemaVersion: 1, nodeName: 'node-1' },
      containers: [
        {
          ...{ podUid: pod.podUid, runtimeID, startTicks: '7' },
          samples: samples.map((sample) => ({ ...at(0), totals: {}, ...sample })),
          ...of,
        },
      ],
    });
  return { report, sent, history };
}

const at = (
  second: number,
  values: MetricSample['values'] = {},
): Pick<MetricSample, 'epochMilliseconds' | 'values'> => ({
  epochMilliseconds: startTime.getTime() - 60_000 + second * 1000,
  values,
});
const heap = (second: number, heapAfterGcPercent: number) => at(second, { heapAfterGcPercent });

describe('SensorWatch', () => {
  it.each([
    ['OOMKilled', {}, 1],
    ['Error', {}, 0],
    ['OOMKilled', { 'heapcatch.dev/watch': '0' }, 0],
  ])(
    'takes less for trouble after a life that ended with %s, annotated %j: %i signals',
    (reason, annotations, count) => {
      const finishedTime = at(-60).epochMilliseconds;
      const { report, sent } = watchOf(annotations, 'node-1', true, {
        ...{ reason, exitCode: 137 },
        finishedTime: new Date(finishedTime).toISOString(),
      });

      report([heap(0, 85), heap(10, 85), heap(20, 85)]);

      expect(sent).toHaveLength(count);
    },
  );

  it('sends the signal of a threshold that fires, about the container, with the numbers', () => {
    const { report, sent } = watchOf();

    report([heap(0, 95)]);
    const taken = report([heap(5, 95), heap(10, 96.04)]);

    expect(taken).toMatchObject({ takenCount: 1, unknownCount: 0, signalCount: 1 });
    expect(sent).toMatchObject([
      {
        ...{ reason: 'HeapNearLimit', podName: 'cart-1', containerName: 'app' },
        containerID: `containerd://${runtimeID}`,
        observedTime: new Date(heap(10, 0).epochMilliseconds).toISOString(),
        numbers: { heapAfterGcPercent: 96 },
      },
    ]);
  });

  it('says beyond which levels the agent need not wait, as the policy and a watch have it', () => {
    const defaults = { heapAfterGcPercent: 90, cgroupUsedPercent: 97, secondsToLimit: 30 };
    const levelsOf = (...args: Parameters<typeof watchOf>) => {
      const { report } = watchOf(...args);
      return report([heap(0, 5)]).levels;
    };
    const last = { reason: 'OOMKilled', exitCode: 137 };
    const finishedTime = new Date(at(-60).epochMilliseconds).toISOString();
    const limits = { 'heapcatch.dev/heap-near-limit': '40', 'heapcatch.dev/gc-storm': 'off' };

    expect(levelsOf()).toEqual([{ runtimeID, levels: { ...defaults, gcTimePercent: 50 } }]);
    expect(levelsOf(limits)).toEqual([
      { runtimeID, levels: { ...defaults, heapAfterGcPercent: 40 } },
    ]);
    expect(levelsOf(limits, 'node-1', true, { ...last, finishedTime })).toMatchObject([
      { levels: { heapAfterGcPercent: 36, secondsToLimit: 45 } },
    ]);
    expect(levelsOf({}, 'node-1', false)).toEqual([{ runtimeID, levels: {} }]);
    expect(levelsOf({}, 'node-2')).toEqual([]);
  });

  it('judges nothing whose monitor takes the numbers from elsewhere, and remembers it', () => {
    const { report, sent, history } = watchOf({}, 'node-1', false);

    report([heap(0, 95), heap(5, 95), heap(10, 96)]);

    expect(sent).toEqual([]);
    expect(history.of('uid-1', runtimeID).at(-1)).toMatchObject(heap(10, 96));
  });

  it.each([
    ['without annotations, at the default', {}, 85, 0],
    ['with a limit of its own', { 'heapcatch.dev/heap-near-limit': '80' }, 85, 1],
    ['that turned it off', { 'heapcatch.dev/heap-near-limit': 'off' }, 99, 0],
    ['that is left alone', { 'heapcatch.dev/enabled': 'false' }, 99, 0],
  ])('judges by the policy of a pod %s', (_name, annotations, percent, count) => {
    const { report, sent } = watchOf(annotations);

    report([heap(0, percent), heap(10, percent)]);

    expect(sent).toHaveLength(count);
  });

  it('tells a storm by the share of time in GC, and the way to the memory limit', () => {
    const { report, sent } = watchOf();

    report(
      [0, 5, 10, 15, 20].map((second) => ({
        ...at(second, { secondsToLimit: 25 }),
        totals: { gcSeconds: second * 0.8, fullGcCount: second },
      })),
    );

    expect(sent.map(({ reason, numbers }) => [reason, numbers.gcTimePercent])).toEqual([
      ['CgroupNearLimit', undefined],
      ['GcStorm', 80],
    ]);
  });

  it('begins anew with the next JVM of a container', () => {
    const { report, sent } = watchOf();

    report([heap(0, 95)]);
    report([heap(10, 95)], { startTicks: '8' });

    expect(sent).toEqual([]);
  });

  it('takes nothing of pods it does not know, nor of those of another node', () => {
    const other = watchOf({}, 'node-2');
    const { report, sent, history } = watchOf();
    const full = [heap(0, 95), heap(10, 95)];

    expect(report(full, { podUid: 'uid-9' }).unknownCount).toBe(1);
    expect(report(full, { runtimeID: 'cd'.repeat(32) }).unknownCount).toBe(1);
    expect(other.report(full).unknownCount).toBe(1);
    expect([...sent, ...other.sent]).toEqual([]);
    expect(history.of('uid-9', runtimeID)).toEqual([]);
  });

  it('leaves out samples of a clock that is far off', () => {
    const { report, history } = watchOf();

    report([heap(-3_600, 50), heap(3_600, 50), heap(0, 50)]);

    expect(history.of('uid-1', runtimeID)).toHaveLength(1);
  });
});
