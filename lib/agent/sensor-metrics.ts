import { family, type Row } from './capture-metrics.ts';
import type { SensorOutbox } from './sensor-outbox.ts';
import type { SensedJvm } from './sensor.ts';

/** Series of one container: of what has a window Prometheus makes its own, by rate(). */
const gauges: readonly [string, string, (sensed: SensedJvm) => number | undefined][] = [
  [
    'heap_used_percent',
    'Heap in use as of its last collection.',
    ({ reading }) => reading.values.heapUsedPercent,
  ],
  [
    'heap_after_gc_percent',
    'Old generation after its last collection.',
    ({ reading }) => reading.values.heapAfterGcPercent,
  ],
  [
    'cgroup_used_percent',
    'Memory of the container that cannot be given back, of its limit.',
    ({ reading }) => reading.values.cgroupUsedPercent,
  ],
  [
    'seconds_to_limit',
    'Until the memory limit, at the present growth; 3600 is longer or never.',
    ({ reading }) => reading.values.secondsToLimit,
  ],
  [
    'allocated_bytes_per_second',
    'Estimated allocation in the heap, last 30 s.',
    ({ reading }) => reading.allocatedBytesPerSecond,
  ],
  [
    'held_bytes_per_second',
    'Growth of the memory that cannot be given back, last 30 s.',
    ({ reading }) => reading.heldBytesPerSecond,
  ],
  [
    'working_set_bytes',
    'Working set of the container.',
    ({ reading }) => reading.memory?.workingSetBytes,
  ],
  [
    'memory_limit_bytes',
    'Memory limit of the container.',
    ({ reading }) => reading.memory?.limitBytes,
  ],
];

const counters: typeof gauges = [
  ['gc_seconds_total', 'Pauses for collections.', ({ reading }) => reading.totals.gcSeconds],
  [
    'full_gc_total',
    'Full collections that nobody asked for.',
    ({ reading }) => reading.totals.fullGcCount,
  ],
  ['young_gc_total', 'Young collections.', ({ reading }) => reading.totals.youngGcCount],
];

/** At most 250 containers have series (maxSensedJvmCount); those of one end with it. */
export function sensorMetricsText(
  sensed: readonly SensedJvm[],
  outbox: Pick<SensorOutbox, 'sentCount' | 'failedCount' | 'droppedCount' | 'waitingCount'>,
): string {
  const rowsOf = (of: (one: SensedJvm) => number | undefined): Row[] =>
    sensed.map((one) => [
      { target_pod_uid: one.jvm.podUid, target_container_id: one.jvm.runtimeID },
      of(one),
    ]);
  return [
    family('sensor_jvms', 'gauge', 'JVMs that are watched.', [[{}, sensed.length]]),
    family('sensor_reports_total', 'counter', 'Reports to the forwarder, by how they ended.', [
      [{ end: 'sent' }, outbox.sentCount],
      [{ end: 'failed' }, outbox.failedCount],
    ]),
    family(
      'sensor_samples_dropped_total',
      'counter',
      'Samples given up, the forwarder being away.',
      [[{}, outbox.droppedCount]],
    ),
    family('sensor_samples_waiting', 'gauge', 'Samples that wait for the forwarder.', [
      [{}, outbox.waitingCount],
    ]),
    ...gauges.map(([name, help, of]) => family(`sensor_${name}`, 'gauge', help, rowsOf(of))),
    ...counters.map(([name, help, of]) => family(`sensor_${name}`, 'counter', help, rowsOf(of))),
  ].join('');
}
