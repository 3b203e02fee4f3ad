/** A body of Alertmanager 0.25, as its webhook sends it (documented format, version 4). */
export function alertmanagerBody(...alerts: readonly unknown[]): Record<string, unknown> {
  return {
    receiver: 'heapcatch',
    status: 'firing',
    alerts,
    groupLabels: { alertname: 'JvmHeapAfterGcHigh' },
    commonLabels: { alertname: 'JvmHeapAfterGcHigh', heapcatch: 'capture' },
    commonAnnotations: {},
    externalURL: 'http://alertmanager:9093',
    version: '4',
    groupKey: '{}/{heapcatch="capture"}:{alertname="JvmHeapAfterGcHigh"}',
    truncatedAlerts: 0,
  };
}

export function firing(
  labels: Record<string, unknown>,
  fields: Record<string, unknown> = {},
): Record<string, unknown> {
  return {
    status: 'firing',
    labels: { alertname: 'JvmHeapAfterGcHigh', ...labels },
    annotations: { summary: 'shop/cart-1: 93 % of the old generation is left' },
    startsAt: '2026-03-01T09:58:00.123456789Z',
    endsAt: '0001-01-01T00:00:00Z',
    generatorURL: 'http://prometheus:9090/graph?g0.expr=1',
    fingerprint: 'c4e1a5f0b2d3e4f5',
    ...fields,
  };
}
