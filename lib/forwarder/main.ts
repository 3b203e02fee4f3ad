// The in-cluster program. Runs as `node lib/forwarder/main.ts`, and bundled into one file.
import { randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { collectDefaultMetrics } from 'prom-client';
import { createEventBridgeSignalBus } from '../aws/event-bus.ts';
import { CaptureError, messageOf } from '../errors.ts';
import { inClusterKubeconfig } from '../kubernetes/kubeconfig.ts';
import { createLeaseApi } from '../kubernetes/lease.ts';
import { createNamespaceSource } from '../kubernetes/namespaces.ts';
import { createTokenReview } from '../kubernetes/token-review.ts';
import { createJvmMonitorApi } from '../kubernetes/jvm-monitors.ts';
import { createWatchSource } from '../kubernetes/watch-source.ts';
import { createLogger } from '../log.ts';
import { Callers, tokenAudience } from './callers.ts';
import { CapturesSeen } from './captures-seen.ts';
import { readForwarderConfig, type ForwarderConfig } from './config.ts';
import { flushDeadlineSeconds, startForwarder } from './forwarder.ts';
import { createForwarderMetrics } from './metrics.ts';
import { forwarderRoutes } from './routes.ts';
import { SensorHistory } from './sensor-history.ts';
import { systemTime } from './time.ts';

const log = createLogger('forwarder');
/** The flush has a deadline of its own; this ends a disk or a socket that does not keep to it. */
const exitDeadlineSeconds = flushDeadlineSeconds + 2;

function kubeconfigOf(config: ForwarderConfig): string {
  if (config.kubeconfig === undefined) return inClusterKubeconfig(process.env);
  try {
    return readFileSync(config.kubeconfig, 'utf8');
  } catch (error) {
    throw new CaptureError(
      'InvalidConfiguration',
      `HEAPCATCH_KUBECONFIG names ${config.kubeconfig}, which cannot be read: ${messageOf(error)}`,
      { cause: error },
    );
  }
}

async function main(): Promise<void> {
  const config = readForwarderConfig(process.env);
  const kubeconfig = kubeconfigOf(config);
  const metrics = createForwarderMetrics();
  collectDefaultMetrics({ register: metrics.registry });
  const review = createTokenReview({ kubeconfig, audience: tokenAudience });
  const callers = new Callers({ review, now: () => systemTime.now(), log });
  const history = new SensorHistory();
  const { election, namespaceSelector: labelSelector, ...told } = config;
  const captures = new CapturesSeen();
  const forwarder = await startForwarder({
    ...told,
    ...(election && {
      election: {
        // Another one after each start: what happened in between is known to whoever watched meanwhile, and not here.
        identity: `${election.podName}_${randomUUID()}`,
        lease: createLeaseApi({ kubeconfig, ...election }),
      },
    }),
    ...(labelSelector !== undefined && {
      optIn: {
        selector: labelSelector,
        source: createNamespaceSource({ kubeconfig, labelSelector, logger: log }),
      },
    }),
    source: createWatchSource({ kubeconfig, clusterName: config.clusterName, logger: log }),
    monitorApi: createJvmMonitorApi({ kubeconfig, logger: log }),
    bus: createEventBridgeSignalBus({
      busName: config.eventBusName,
      region: config.region,
      ...(config.endpoint === undefined ? {} : { endpoint: config.endpoint }),
    }),
    metrics,
    routes: forwarderRoutes({ config, callers, history, captures, metrics, time: systemTime, log }),
    history,
    captures,
    time: systemTime,
    random: Math.random,
    log,
  });
  log.info('started', {
    clusterName: config.clusterName,
    namespaces: config.namespaces,
    namespaceSelector: labelSelector,
    eventBusName: config.eventBusName,
    httpPort: forwarder.httpPort,
  });
  for (const name of ['SIGTERM', 'SIGINT'] as const) {
    process.once(name, () => {
      log.info('stopping', { signalName: name });
      setTimeout(() => process.exit(1), exitDeadlineSeconds * 1000).unref();
      forwarder.stop().then(
        () => {
          log.info('stopped');
          process.exit(0);
        },
        (error: unknown) => fail(error),
      );
    });
  }
}

function fail(error: unknown): never {
  log.error('the forwarder failed', { error: messageOf(error, 4_000) });
  process.exit(1);
}

main().catch(fail);
