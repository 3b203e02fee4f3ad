import type { Logger } from '../log.ts';
import { createAlertMetrics } from './alert-metrics.ts';
import { alertRoute } from './alert-webhook.ts';
import type { Route } from './api.ts';
import type { Callers } from './callers.ts';
import type { CapturesSeen } from './captures-seen.ts';
import type { ForwarderConfig } from './config.ts';
import type { Known } from './forwarder.ts';
import { jvmReleasedRoute } from './jvm-released-route.ts';
import { byLeader } from './leadership.ts';
import type { ForwarderMetrics } from './metrics.ts';
import { PreStopHolds } from './pre-stop.ts';
import { preStopRoute } from './pre-stop-route.ts';
import type { SensorHistory } from './sensor-history.ts';
import { sensorRoute } from './sensor-route.ts';
import { SensorWatch } from './sensor-watch.ts';
import type { SignalIntake } from './signal-intake.ts';
import type { Time } from './time.ts';
import { TokenFile } from './token-file.ts';

export interface RouteOptions {
  readonly config: Pick<ForwarderConfig, 'alertsTokenFile' | 'alertsCluster'>;
  readonly callers: Callers;
  readonly history: SensorHistory;
  readonly captures: CapturesSeen;
  readonly metrics: ForwarderMetrics;
  readonly time: Time;
  readonly log: Logger;
}

/** All that others may ask of the forwarder. */
export function forwarderRoutes(options: RouteOptions) {
  const { config, callers, history, captures, metrics, time, log } = options;
  const now = () => time.now();
  return (intake: SignalIntake, known: Known): readonly Route[] => [
    ...[
      sensorRoute({ callers, watch: new SensorWatch({ intake, history, now, log }) }),
      jvmReleasedRoute({ ...known, captures, callers }),
      preStopRoute({
        ...{ ...known, callers, metrics },
        holds: new PreStopHolds({ ...known, captures, intake, time, log }),
      }),
    ].map((route) => byLeader(route, known.leadership)),
    alertRoute({
      ...known,
      intake,
      clusterLabel: config.alertsCluster,
      tokens:
        config.alertsTokenFile === undefined ? undefined : new TokenFile(config.alertsTokenFile),
      time,
      metrics: createAlertMetrics(metrics.registry),
      log,
    }),
  ];
}
