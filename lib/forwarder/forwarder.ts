import { setMaxListeners } from 'node:events';
import type { Logger } from '../log.ts';
import type { LeaseApi } from '../kubernetes/lease.ts';
import type { JvmMonitorApi } from '../policy/monitor-api.ts';
import type { CaptureWord } from '../signal/capture-word.ts';
import type { Signal } from '../signal/signal.ts';
import type { SignalBus } from '../signal/signal-bus.ts';
import type { WatchSource } from '../signal/watch-source.ts';
import { startApi, type ApiTls, type Route } from './api.ts';
import type { CapturesSeen } from './captures-seen.ts';
import { startHttp } from './http.ts';
import { Endings, type EndHistorySource } from './endings.ts';
import { Leadership } from './leadership.ts';
import { createForwarderMetrics, type ForwarderMetrics } from './metrics.ts';
import { MonitorPart } from './monitor-part.ts';
import { Observer } from './observer.ts';
import { PodCache } from './pod-cache.ts';
import { PodPolicies } from './pod-policies.ts';
import { SignalSender } from './sender.ts';
import { SignalIntake } from './signal-intake.ts';
import { Spool } from './spool.ts';
import type { Time } from './time.ts';
import { followTls, readTls, type TlsFiles } from './tls-files.ts';
import { WatchHealth } from './watch-health.ts';
import { type OptIn, WatchedNamespaces } from './watched-namespaces.ts';

export const flushDeadlineSeconds = 5;

export interface ForwarderOptions {
  clusterName: string;
  /** '' means all. */
  namespaces: readonly string[];
  /** Beside these, by a label. */
  optIn?: OptIn;
  spoolDirectory: string;
  spoolMaxBytes: number;
  httpPort: number;
  apiPort: number;
  /** Beside apiPort, the same over TLS. */
  apiTls?: { port: number; files: TlsFiles };
  /** Made of the intake that all of them share. */
  routes?: (intake: SignalIntake, known: Known) => readonly Route[];
  /** What the sensor measured; without it ends are judged by what Kubernetes says of them. */
  history?: EndHistorySource;
  /** Told what the functions say of captures, for whoever waits for their end. */
  captures?: Pick<CapturesSeen, 'heard'>;
  source: WatchSource;
  /** Without it there are no JvmMonitors. */
  monitorApi?: JvmMonitorApi;
  /** Of the Prometheus that JvmMonitors may query. */
  prometheusUrl?: string;
  bus: SignalBus;
  /** Of several forwarders of a cluster one leads. Without it this one is alone. */
  election?: { lease: LeaseApi; identity: string };
  metrics?: ForwarderMetrics;
  time: Time;
  random: () => number;
  log: Logger;
}

/** What routes may ask of the forwarder beside the intake. */
export interface Known {
  clusterName: string;
  pods: Pick<PodCache, 'get' | 'getByUid' | 'all'>;
  policies: PodPolicies;
  endings: Endings;
  /** Whether the pods of a namespace are watched. */
  watches(namespace: string): boolean;
  /** The label selector by which namespaces opt in, where they do. */
  optIn?: string;
  /** Why the pods are not all known; empty when they are. */
  unreadyReasons(): readonly string[];
  leadership: Pick<Leadership, 'follows'>;
}

export interface Forwarder {
  /** The port of /healthz, /readyz and /metrics. */
  httpPort: number;
  apiPort: number;
  apiTlsPort?: number;
  metrics: ForwarderMetrics;
  /** Ends the watches, brings what is under way to the bus or the spool within 5 s, closes the port. */
  stop(): Promise<void>;
}

/**
 * Starts the forwarder: two watchers for each namespace, the sender with its spool, the HTTP port.
 * Events are watched once the pods of their namespace are known, since an Event means nothing without its pod.
 * @throws Error of Node when the port cannot be bound; nothing is running then.
 */
export async function startForwarder(options: ForwarderOptions): Promise<Forwarder> {
  const { time, log } = options;
  const metrics = options.metrics ?? createForwarderMetrics();
  const spool = await Spool.open({
    directory: options.spoolDirectory,
    maxBytes: options.spoolMaxBytes,
    time,
    metrics,
    log,
  });
  const health = new WatchHealth(time);
  const http = await startHttp({
    port: options.httpPort,
    metrics,
    unreadyReasons: () => health.unreadyReasons(),
  });
  const sender = new SignalSender({ ...options, spool, metrics });
  const pods = new PodCache();
  const monitorPart = new MonitorPart({ ...options, pods, metrics });
  const policies = new PodPolicies({ metrics, log, monitors: monitorPart.monitors });
  const { clusterName } = options;
  const endings = new Endings({ pods, history: options.history });
  const leadership = new Leadership({ ...options, sender, health, metrics });
  const send = monitorPart.hearing((told: Signal) => sender.send(endings.complete(told)));
  const hear = monitorPart.hearing((seen: Signal) => leadership.hear(endings.complete(seen)));
  const known = { clusterName, pods, policies, send };
  const intake = new SignalIntake({ ...known, endings, metrics });
  const stop = new AbortController();
  // Every wait of every watcher listens to it; that is no leak.
  setMaxListeners(0, stop.signal);
  const { signal } = stop;
  const unreadyReasons = (): readonly string[] => health.unreadyReasons();
  const namespaces = new WatchedNamespaces({ ...options, health, metrics });
  const watches = (namespace: string): boolean => namespaces.watches(namespace);
  const optIn = options.optIn?.selector;
  const shared = { ...known, endings, watches, unreadyReasons, leadership };
  const routes = options.routes?.(intake, { ...shared, ...(optIn && { optIn }) }) ?? [];
  const apis = await startApis(options, routes, signal).catch(async (error: unknown) => {
    await Promise.all([sender.close(flushDeadlineSeconds), http.close()]);
    throw error;
  });
  const captureSeen = hearers(monitorPart, options.captures);
  const observer = new Observer({ ...known, send: hear, captureSeen, time, metrics, log, signal });

  const pace = (): Promise<void> | undefined => leadership.pace();
  const watchers = namespaces.run({ observer, monitorPart, pace }, signal);
  leadership.start(monitorPart.controller({ intake, policies }), signal);

  return {
    httpPort: http.port,
    ...apis.ports,
    metrics,
    stop: async () => {
      stop.abort();
      await Promise.all([leadership.stop(), apis.close()]);
      await watchers;
      await sender.close(flushDeadlineSeconds);
      await http.close();
    },
  };
}

function hearers(
  monitorPart: MonitorPart,
  captures: ForwarderOptions['captures'],
): (word: CaptureWord) => void {
  return (word) => {
    monitorPart.captureSeen(word);
    captures?.heard(word);
  };
}

/** The same routes on the plain port and, if there is one, on that with TLS. */
async function startApis(
  options: Pick<ForwarderOptions, 'apiPort' | 'apiTls' | 'time' | 'log'>,
  routes: readonly Route[],
  signal: AbortSignal,
) {
  const { apiTls, time, log } = options;
  const plain = await startApi({ port: options.apiPort, routes, log });
  if (apiTls === undefined) return { ports: { apiPort: plain.port }, close: plain.close };
  try {
    const { port, files } = apiTls;
    const first = await readTls(files);
    const secure = await startApi({ port, routes, tls: first, log });
    const renew = (tls: ApiTls): void => secure.renewTls(tls);
    const followed = followTls({ files, first, renew, time, signal, log });
    return {
      ports: { apiPort: plain.port, apiTlsPort: secure.port },
      close: async () => {
        await Promise.all([plain.close(), secure.close(), followed]);
      },
    };
  } catch (error) {
    await plain.close();
    throw error;
  }
}
