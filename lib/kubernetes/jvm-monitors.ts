import { setTimeout } from 'node:timers/promises';
import { CaptureError } from '../errors.ts';
import type { Logger } from '../log.ts';
import type { JvmMonitorApi } from '../policy/monitor-api.ts';
import { bodyOf, type ApiCall } from './api-call.ts';
import { ClusterConnection } from './connection.ts';
import { eventObject } from './event-object.ts';
import {
  defaultWatchSeconds,
  jvmMonitorApiVersion,
  listAll,
  watchResource,
} from './watch-source.ts';

/** In place of a resourceVersion: the cluster has no such resource. */
const absent = 'absent';
/** Below the watcher's bound on silence. */
const absentSeconds = 120;

/**
 * The JvmMonitors of a cluster, listed and watched as pods are.
 * @throws CaptureError InvalidConfiguration when the kubeconfig is not valid.
 */
export function createJvmMonitorApi(options: {
  kubeconfig: string;
  logger?: Logger;
  watchSeconds?: number;
}): JvmMonitorApi {
  const connection = new ClusterConnection(options.kubeconfig);
  const { logger, watchSeconds = defaultWatchSeconds } = options;
  const resource = 'jvmmonitors';
  const asIs = (object: unknown): unknown => object;
  return {
    async listMonitors(namespace) {
      try {
        return await listAll(connection, resource, namespace, asIs, logger);
      } catch (error) {
        if (!(error instanceof CaptureError) || error.details['status'] !== 404) throw error;
        return { items: [], resourceVersion: absent };
      }
    },
    watchMonitors: async (namespace, resourceVersion, onChange, signal) => {
      if (resourceVersion === absent) {
        await setTimeout(absentSeconds * 1_000, undefined, { signal }).catch(() => undefined);
        return 'expired';
      }
      return watchResource(
        connection,
        { resource, namespace, resourceVersion, watchSeconds },
        asIs,
        { onChange, signal, logger },
      );
    },
    async patchStatus({ namespace, name, uid }, status) {
      const call: ApiCall = {
        verb: 'patch',
        apiVersion: jvmMonitorApiVersion,
        resource: 'jvmmonitors/status',
        namespace,
        name,
        contentType: 'application/merge-patch+json',
        // The uid makes it a conflict when the name has become another object's.
        body: { metadata: { uid }, status },
      };
      const answer = await connection.request(call);
      if (answer.status !== 404 && answer.status !== 409) bodyOf(call, answer);
    },
    async postMonitorEvent(monitor, event) {
      const { namespace, name, uid } = monitor;
      const about = { apiVersion: jvmMonitorApiVersion, kind: 'JvmMonitor', namespace, name, uid };
      const call: ApiCall = {
        verb: 'create',
        resource: 'events',
        namespace,
        body: eventObject(about, event, new Date()),
      };
      const answer = await connection.request(call);
      // An Event of the same name is the same word; of a namespace that ends none can be made.
      if (answer.status !== 409 && answer.status !== 404) bodyOf(call, answer);
    },
  };
}
