import { CaptureError } from '../errors.ts';
import type { Logger } from '../log.ts';
import { shown } from '../validation.ts';
import { SensorOutbox } from './sensor-outbox.ts';
import { sensorMetricsText } from './sensor-metrics.ts';
import { Sensor, tickMilliseconds } from './sensor.ts';

export interface SensorSettings {
  readonly forwarderUrl: string;
  readonly tokenFile: string;
  readonly nodeName: string;
}

const defaultTokenFile = '/var/run/secrets/heapcatch/token';
const batchMilliseconds = 15 * tickMilliseconds;

/**
 * What the environment says of the sensor; `undefined` without HEAPCATCH_FORWARDER_URL, which turns it off.
 * @throws CaptureError InvalidConfiguration naming the variable, its value and what is accepted.
 */
export function sensorSettingsOf(
  env: Readonly<Record<string, string | undefined>>,
): SensorSettings | undefined {
  const forwarderUrl = env['HEAPCATCH_FORWARDER_URL']?.trim() ?? '';
  if (forwarderUrl === '') return undefined;
  const nodeName = env['HEAPCATCH_NODE_NAME']?.trim() ?? '';
  const tokenFile = env['HEAPCATCH_TOKEN_FILE']?.trim() ?? defaultTokenFile;
  const faults = [
    ...(/^https?:\/\/[^\s/]+\/?$/.test(forwarderUrl)
      ? []
      : [`HEAPCATCH_FORWARDER_URL is ${shown(forwarderUrl)}, accepted is http(s)://host:port`]),
    ...(nodeName === ''
      ? ['HEAPCATCH_NODE_NAME is missing, accepted is the name of the node (spec.nodeName)']
      : []),
  ];
  if (faults.length === 0) return { forwarderUrl, tokenFile, nodeName };
  throw new CaptureError('InvalidConfiguration', faults.join('; '), { details: { faults } });
}

export interface SensorService {
  /** Prometheus text, to be appended to the agent's. */
  metricsText(): string;
  stop(): Promise<void>;
}

/** Senses the node's JVMs and tells the forwarder, until it is stopped. */
export function startSensor(
  settings: SensorSettings & { readonly procRoot: string; readonly log: Logger },
): SensorService {
  const outbox = new SensorOutbox({
    ...settings,
    onAnswer: ({ levels }) => {
      for (const one of levels) sensor.setLevels(one.runtimeID, one.levels);
    },
  });
  const sensor: Sensor = new Sensor({
    ...settings,
    now: () => Date.now(),
    tell: ({ jvm, reading }, flush) => {
      const { podUid, runtimeID, process } = jvm;
      const { epochMilliseconds, values, totals } = reading;
      outbox.add(
        { podUid, runtimeID, startTicks: process.startTicks ?? '0' },
        { epochMilliseconds, values, totals },
      );
      if (flush) void outbox.flush();
    },
  });
  const timer = setInterval(() => void outbox.flush(), batchMilliseconds);
  timer.unref();
  sensor.start();
  settings.log.info('the sensor watches', { forwarderUrl: settings.forwarderUrl });
  return {
    metricsText: () => sensorMetricsText(sensor.sensed(), outbox),
    stop: async () => {
      clearInterval(timer);
      await sensor.stop();
      await outbox.flush();
    },
  };
}
