import { Counter, Gauge, Histogram, Registry } from 'prom-client';

export type ForwarderMetrics = ReturnType<typeof createForwarderMetrics>;

/**
 * The forwarder's metrics, in a registry of their own. After a quiet moment
 * observed = sent + failed + ignored signals + spool entries + look-back + queue; a difference is a signal on its way.
 */
export function createForwarderMetrics() {
  const registry = new Registry();
  return {
    registry,
    ...signalMetrics([registry]),
    ...spoolMetrics([registry]),
    ...watchMetrics([registry]),
    ...leaderMetrics([registry]),
  };
}

function signalMetrics(registers: Registry[]) {
  return {
    signalsObserved: new Counter({
      name: 'heapcatch_signals_observed_total',
      help: 'Signals made from what the cluster, an alert, the sensor or a monitor said, by reason.',
      labelNames: ['reason'],
      registers,
    }),
    signalsSent: new Counter({
      name: 'heapcatch_signals_sent_total',
      help: 'Signals that the bus accepted.',
      registers,
    }),
    signalsIgnored: new Counter({
      name: 'heapcatch_signals_ignored_total',
      help: 'Signals not sent on purpose: a repeat, a policy that is disabled, or left to the forwarder that leads.',
      labelNames: ['reason'],
      registers,
    }),
    signalsFailed: new Counter({
      name: 'heapcatch_signals_failed_total',
      help: 'Signals given up: refused by the bus, or dropped from the spool.',
      labelNames: ['reason'],
      registers,
    }),
    policyFaults: new Counter({
      name: 'heapcatch_policy_faults_total',
      help: 'Signals and sensor samples of pods with invalid policy annotations; judged by what the others say.',
      registers,
    }),
    putSeconds: new Histogram({
      name: 'heapcatch_put_seconds',
      help: 'Duration of one call to the bus, failed calls included.',
      buckets: [0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10],
      registers,
    }),
  };
}

function spoolMetrics(registers: Registry[]) {
  return {
    spoolEntries: new Gauge({
      name: 'heapcatch_spool_entries',
      help: 'Signals waiting in the spool.',
      registers,
    }),
    spoolBytes: new Gauge({
      name: 'heapcatch_spool_bytes',
      help: 'Disk blocks taken by the spool, in bytes.',
      registers,
    }),
    spoolCorrupt: new Counter({
      name: 'heapcatch_spool_corrupt_total',
      help: 'Spool files set aside as unreadable.',
      registers,
    }),
    spoolWriteFaults: new Counter({
      name: 'heapcatch_spool_write_faults_total',
      help: 'Signals that the spool could keep in memory only, because the disk refused them.',
      registers,
    }),
  };
}

function watchMetrics(registers: Registry[]) {
  return {
    eventsIgnored: new Counter({
      name: 'heapcatch_events_ignored_total',
      help: 'Kubernetes Events that led to no signal, by reason.',
      labelNames: ['reason'],
      registers,
    }),
    eventLagSeconds: new Histogram({
      name: 'heapcatch_event_lag_seconds',
      help: 'From when it happened, by the cluster clock, to when it was observed here.',
      buckets: [0.01, 0.05, 0.1, 0.25, 0.5, 1, 2, 5, 10, 60, 300],
      registers,
    }),
    watchRestarts: new Counter({
      name: 'heapcatch_watch_restarts_total',
      help: 'Watches begun again after an end or an error, by resource.',
      labelNames: ['resource'],
      registers,
    }),
    watchExpired: new Counter({
      name: 'heapcatch_watch_expired_total',
      help: 'Watches whose resourceVersion was too old (410 Gone), by resource.',
      labelNames: ['resource'],
      registers,
    }),
    watchFaults: new Counter({
      name: 'heapcatch_watch_faults_total',
      help: 'Objects whose handling failed, by resource; a fault of the program.',
      labelNames: ['resource'],
      registers,
    }),
    namespacesWatched: new Gauge({
      name: 'heapcatch_namespaces_watched',
      help: 'Namespaces whose pods are watched; 1 for all of them at once.',
      registers,
    }),
    namespacesRefused: new Gauge({
      name: 'heapcatch_namespaces_refused',
      help: 'Namespaces that have opted in by label beyond the bound: their trouble is not seen.',
      registers,
    }),
    queueSignals: new Gauge({
      name: 'heapcatch_queue_signals',
      help: 'Signals that wait in memory for room in the sender; from 10,000 on the watches wait too.',
      registers,
    }),
    watchPauses: new Counter({
      name: 'heapcatch_watch_pauses_total',
      help: 'How often a watch waited, because signals come faster than bus and disk take them.',
      registers,
    }),
    podsCached: new Gauge({ name: 'heapcatch_pods_cached', help: 'Pods known.', registers }),
    podsRefused: new Counter({
      name: 'heapcatch_pods_refused_total',
      help: 'Changes of pods beyond the bound of the cache: their trouble is not seen.',
      registers,
    }),
  };
}

function leaderMetrics(registers: Registry[]) {
  return {
    leading: new Gauge({
      name: 'heapcatch_leading',
      help: '1 while this forwarder leads, 0 while another one does or nobody is known to.',
      registers,
    }),
    roleChanges: new Counter({
      name: 'heapcatch_role_changes_total',
      help: 'Changes of this part in the election, by the role that began: leading, following, unsure.',
      labelNames: ['role'],
      registers,
    }),
    lookBackSignals: new Gauge({
      name: 'heapcatch_look_back_signals',
      help: 'Signals observed here that the leader is to send; sent from here if it ends.',
      registers,
    }),
  };
}
