import type { WatchChange, WatchEnd } from '../signal/watch-source.ts';
import type { JvmMonitorStatus } from './monitor-status.ts';

export interface MonitorReference {
  namespace: string;
  name: string;
  uid: string;
}

/** A word about a monitor, shown as an Event on it. */
export interface MonitorEvent {
  type: 'Normal' | 'Warning';
  /** CamelCase, at most 128 characters. */
  reason: string;
  /** At most 1024 bytes. */
  message: string;
  /** Makes a repeat the same Event: part of its name. */
  identity: string;
}

/**
 * Port to the JvmMonitors of a cluster. A namespace of '' means all. Objects are the API's raw JSON, read by
 * lib/policy/jvm-monitor.ts. A cluster without the CustomResourceDefinition has none, and is looked at again every two minutes.
 * @throws CaptureError ClusterUnavailable (retryable), ClusterForbidden, ClusterRefused.
 */
export interface JvmMonitorApi {
  listMonitors(namespace: string): Promise<{ items: readonly unknown[]; resourceVersion: string }>;
  watchMonitors(
    namespace: string,
    resourceVersion: string,
    onChange: (change: WatchChange<unknown>) => void,
    signal: AbortSignal,
  ): Promise<WatchEnd>;
  /** Replaces the status; of a monitor that is gone nothing is written. */
  patchStatus(monitor: MonitorReference, status: JvmMonitorStatus): Promise<void>;
  postMonitorEvent(monitor: MonitorReference, event: MonitorEvent): Promise<void>;
}
