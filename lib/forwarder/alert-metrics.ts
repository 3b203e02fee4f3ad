import { Counter, type Registry } from 'prom-client';

export type AlertMetrics = ReturnType<typeof createAlertMetrics>;

/** Of the alert webhook, in the forwarder's registry. */
export function createAlertMetrics(registry: Registry) {
  const registers = [registry];
  return {
    alerts: new Counter({
      name: 'heapcatch_alerts_total',
      help: 'Alerts received, by what became of them (sent, ignored, refused) and why.',
      labelNames: ['outcome', 'reason'],
      registers,
    }),
    requestsRefused: new Counter({
      name: 'heapcatch_alert_requests_refused_total',
      help: 'Requests to the alert webhook that were refused as a whole, by reason.',
      labelNames: ['reason'],
      registers,
    }),
  };
}
