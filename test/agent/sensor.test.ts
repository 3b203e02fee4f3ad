import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { sensorMetricsText } from '../../lib/agent/sensor-metrics.ts';
import { Sensor, type SensedJvm } from '../../lib/agent/sensor.ts';
import { perfData } from '../jvm/perf-data-writer.ts';
import { recordingLog } from '../forwarder/fakes.ts';
import { cgroupLine, ProcFolder } from './proc-folder.ts';
import { podUid } from './tickets.ts';

const runtimeID = '4f'.repeat(32);
const pid = 4_000;
const uid = process.getuid?.() ?? 0;

let proc: ProcFolder;
let sensor: Sensor;
let told: { sensed: SensedJvm; flush: boolean }[];
let milliseconds: number;

beforeEach(() => {
  proc = new ProcFolder();
  told = [];
  milliseconds = 0;
  sensor = new Sensor({
    procRoot: proc.path,
    now: () => milliseconds,
    tell: (sensed, flush) => told.push({ sensed, flush }),
    log: recordingLog().log,
  });
});
afterEach(async () => {
  await sensor.stop();
  proc.remove();
});

/** A container's JVM, as its process, counters and cgroup show it. */
class FakeJvm {
  readonly folder = proc.add({ pid, uid, cgroup: cgroupLine(podUid, runtimeID), nspid: 1 });
  readonly #cgroup = join(this.folder, 'root/sys/fs/cgroup');
  readonly #counters = join(this.folder, 'root/tmp/hsperfdata_app');

  constructor() {
    mkdirSync(this.#cgroup, { recursive: true });
    writeFileSync(join(this.#cgroup, 'cgroup.procs'), '1\n');
    writeFileSync(join(this.#cgroup, 'memory.max'), '1000\n');
    this.memory(300);
  }

  memory(heldBytes: number, fileBytes = 90): void {
    writeFileSync(join(this.#cgroup, 'memory.current'), `${heldBytes + fileBytes}\n`);
    const stat = `anon ${heldBytes}\nfile ${fileBytes}\ninactive_file 60\nactive_file ${fileBytes - 60}\n`;
    writeFileSync(join(this.#cgroup, 'memory.stat'), stat);
  }

  counters({ full = 0, old = 10, seconds = 0 } = {}): void {
    mkdirSync(this.#counters, { recursive: true });
    const bytes = perfData([
      ['sun.gc.collector.0.name', 'PSScavenge'],
      ['sun.gc.collector.0.invocations', 4],
      ['sun.gc.collector.0.time', seconds * 1_000_000_000],
      ['sun.gc.collector.1.name', 'PSParallelCompact'],
      ['sun.gc.collector.1.invocations', full],
      ['sun.gc.policy.name', 'ParScav:MSC'],
      ['sun.gc.generation.0.maxCapacity', 50],
      ['sun.gc.generation.1.maxCapacity', 100],
      ['sun.gc.generation.1.space.0.used', old],
      ['sun.os.hrt.frequency', 1_000_000_000],
    ]);
    writeFileSync(join(this.#counters, '1'), bytes);
  }
}

async function seconds(count: number, each: (second: number) => void = () => undefined) {
  for (let second = 0; second < count; second += 1) {
    each(second);
    await sensor.tick();
    milliseconds += 1_000;
  }
}
const last = () => sensor.sensed()[0]?.reading;

describe('Sensor', () => {
  it('reads counters and memory of a JVM of a pod', async () => {
    const jvm = new FakeJvm();
    jvm.counters();
    await seconds(2);
    jvm.counters({ full: 1, old: 60, seconds: 0.25 });
    await seconds(1);

    expect(sensor.sensed()[0]?.jvm).toMatchObject({ podUid, runtimeID, process: { pid } });
    expect(last()).toMatchObject({
      values: { heapAfterGcPercent: 60, cgroupUsedPercent: 30 },
      totals: { fullGcCount: 1, youngGcCount: 4, gcSeconds: 0.25 },
      memory: { heldBytes: 300, workingSetBytes: 330, limitBytes: 1_000 },
    });
  });

  it('knows the memory of a JVM without counters, and its counters once they are there', async () => {
    const jvm = new FakeJvm();
    await seconds(2);
    expect(last()).toMatchObject({ values: { cgroupUsedPercent: 30 }, totals: {} });

    jvm.counters();
    await seconds(6);

    expect(last()?.totals).toMatchObject({ youngGcCount: 4 });
  });

  it('tells of a calm JVM every 15 s, of one near a limit at once and every 3 s', async () => {
    const jvm = new FakeJvm();
    jvm.counters();
    await seconds(32);
    expect(told.map(({ sensed, flush }) => [sensed.reading.epochMilliseconds, flush])).toEqual([
      [1_000, false],
      [16_000, false],
      [31_000, false],
    ]);

    told = [];
    await seconds(7, (second) => jvm.memory(second === 0 ? 300 : 900));

    expect(told.map(({ sensed, flush }) => [sensed.reading.epochMilliseconds, flush])).toEqual([
      [33_000, true],
      [36_000, true],
    ]);
  });

  it('tells at once what is beyond a level that the forwarder named, and no longer what is not', async () => {
    const jvm = new FakeJvm();
    jvm.counters();
    await seconds(2);
    told = [];
    sensor.setLevels('00'.repeat(32), { cgroupUsedPercent: 10 });
    sensor.setLevels(runtimeID, { cgroupUsedPercent: 40, gcTimePercent: 5 });
    const times = () => told.map(({ sensed }) => sensed.reading.epochMilliseconds);

    await seconds(3);
    expect(times()).toEqual([]);
    await seconds(4, () => jvm.memory(410));
    expect(times()).toEqual([5_000, 8_000]);
    await seconds(3, () => jvm.memory(390));
    jvm.counters({ seconds: 0.06 });
    await seconds(1);
    expect(times()).toEqual([5_000, 8_000, 12_000]);

    sensor.setLevels(runtimeID, {});
    await seconds(6, () => jvm.memory(420));
    expect(times()).toHaveLength(3);
    await seconds(1, () => jvm.memory(860));
    expect(times()).toHaveLength(4);
  });

  it('lets go of a JVM that ends in the middle, and takes the next one up', async () => {
    const jvm = new FakeJvm();
    jvm.counters();
    await seconds(2);

    writeFileSync(join(jvm.folder, 'stat'), `${pid} (java) Z 1 0 0`);
    await seconds(1);
    expect(sensor.sensed()).toEqual([]);

    proc.hide(pid);
    await seconds(5);
    new FakeJvm().counters();
    await seconds(6);
    expect(sensor.sensed()).toHaveLength(1);
  });

  it('goes on while counters vanish or hold nonsense', async () => {
    const jvm = new FakeJvm();
    jvm.counters();
    await seconds(2);

    writeFileSync(join(jvm.folder, 'root/tmp/hsperfdata_app/1'), 'nonsense');
    rmSync(join(jvm.folder, 'root/tmp'), { recursive: true });
    await seconds(10);

    expect(last()).toMatchObject({ values: { cgroupUsedPercent: 30 }, totals: {} });
  });

  it('lets go of a file that the JVM has replaced by its own', async () => {
    const jvm = new FakeJvm();
    jvm.counters({ seconds: 1 });
    await seconds(2);
    rmSync(join(jvm.folder, 'root/tmp/hsperfdata_app/1'));
    jvm.counters({ seconds: 7 });

    await seconds(25);

    expect(last()?.totals.gcSeconds).toBe(7);
  });

  it('shows the numbers of each container on /metrics, and none that is not known', async () => {
    const jvm = new FakeJvm();
    jvm.counters({ seconds: 2 });
    await seconds(2);

    const text = sensorMetricsText(sensor.sensed(), {
      ...{ sentCount: 3, failedCount: 1, droppedCount: 0, waitingCount: 2 },
    });

    const labels = `{target_pod_uid="${podUid}",target_container_id="${runtimeID}"}`;
    expect(text).toContain(`heapcatch_agent_sensor_cgroup_used_percent${labels} 30\n`);
    expect(text).toContain(`heapcatch_agent_sensor_gc_seconds_total${labels} 2\n`);
    expect(text).toContain('heapcatch_agent_sensor_jvms 1\n');
    expect(text).not.toContain('heapcatch_agent_sensor_heap_after_gc_percent{');
  });
});
