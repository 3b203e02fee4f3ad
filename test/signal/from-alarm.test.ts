import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { parseInvocation } from '../../lib/signal/parse-invocation.ts';
import { alertmanagerBody, firing } from './alert-fixtures.ts';

const told = '2026-03-01T12:00:03.000Z';
const now = new Date('2026-03-01T12:00:05.000Z');
const parse = (invocation: unknown) => parseInvocation(invocation, { now, clusterName: 'prod' });
const sns = (message: unknown) => ({
  Records: [
    {
      EventSource: 'aws:sns',
      Sns: {
        Type: 'Notification',
        Timestamp: '2026-03-01T12:00:03.000Z',
        Message: JSON.stringify(message),
      },
    },
  ],
});
const dimensions = (pairs: Record<string, string>) =>
  Object.entries(pairs).map(([name, value]) => ({ value, name }));

/** As CloudWatch sends it over SNS (documented example, with the dimensions of Container Insights). */
function alarm(pairs: Record<string, string>, changes: Record<string, unknown> = {}): unknown {
  return {
    AlarmName: 'cart-heap',
    AlarmDescription: null,
    AWSAccountId: '123456789012',
    NewStateValue: 'ALARM',
    OldStateValue: 'OK',
    NewStateReason: 'Threshold Crossed: 1 datapoint [93.0] was greater than the threshold (85.0).',
    StateChangeTime: '2026-03-01T12:00:01.500+0000',
    Region: 'EU (Frankfurt)',
    AlarmArn: 'arn:aws:cloudwatch:eu-central-1:123456789012:alarm:cart-heap',
    Trigger: {
      MetricName: 'pod_memory_utilization_over_pod_limit',
      Namespace: 'ContainerInsights',
      StatisticType: 'Statistic',
      Statistic: 'MAXIMUM',
      Unit: null,
      Dimensions: dimensions(pairs),
      Period: 60,
      Threshold: 85,
    },
    ...changes,
  };
}

const pod = { FullPodName: 'cart-7f-x', PodName: 'cart', Namespace: 'shop' };
const signal = {
  schemaVersion: 1,
  clusterName: 'prod',
  namespace: 'shop',
  podName: 'cart-7f-x',
  reason: 'AlertFiring',
  observedTime: '2026-03-01T12:00:01.500Z',
  alertName: 'cart-heap',
  numbers: {},
};

function faultOf(invocation: unknown): string {
  const [only] = parse(invocation);
  if (only === undefined || !('fault' in only)) throw new Error('expected a fault');
  expect(only.fault).toMatchObject({ code: 'InvalidSignal', retryable: false });
  return only.fault.message;
}

describe('an alarm of CloudWatch', () => {
  it('over SNS becomes a signal about the pod of its dimensions', () => {
    expect(parse(sns(alarm(pod)))).toEqual([{ signal }]);
  });

  it('names the cluster where Container Insights does', () => {
    expect(parse(sns(alarm({ ...pod, ClusterName: 'eks-1', ContainerName: 'app' })))).toEqual([
      { signal: { ...signal, clusterName: 'eks-1', containerName: 'app' } },
    ]);
  });

  it('on an expression is about the pod of its metrics', () => {
    const metric = { Metric: { Dimensions: dimensions(pod) }, Period: 60, Stat: 'Maximum' };
    const Metrics = [
      { Id: 'e1', Expression: 'm1/m2' },
      { Id: 'm1', MetricStat: metric },
    ];

    expect(parse(sns(alarm({}, { Trigger: { Metrics } })))).toEqual([{ signal }]);
  });

  it.each<[string, (inner: unknown) => unknown]>([
    ['EventBridge', (detail) => ({ 'detail-type': 'CloudWatch Alarm State Change', detail })],
    ['an action', (alarmData) => ({ alarmArn: 'arn', accountId: '123456789012', alarmData })],
  ])('over %s is understood as well', (_name, around) => {
    const inner = {
      alarmName: 'cart-heap',
      state: { value: 'ALARM', timestamp: '2026-03-01T12:00:01.500+0000', reason: 'crossed' },
      configuration: {
        metrics: [{ id: 'm1', metricStat: { metric: { name: 'heap', dimensions: pod } } }],
      },
    };
    const time = '2026-03-01T12:00:02Z';

    expect(parse({ source: 'aws.cloudwatch', time, ...(around(inner) as object) })).toEqual([
      { signal },
    ]);
  });

  it('that is well again is no signal and no fault', () => {
    expect(parse(sns(alarm(pod, { NewStateValue: 'OK' })))).toEqual([
      { notFiring: expect.stringContaining('cart-heap') },
    ]);
  });

  it.each<[string, unknown, string]>([
    ['no pod', alarm({ ClusterName: 'prod', Namespace: 'shop' }), 'pod'],
    ['no namespace', alarm({ FullPodName: 'cart-7f-x' }), 'namespace'],
    ['nothing, being composite', alarm({}, { Trigger: undefined }), 'namespace, pod'],
    ['a pod that is no name', alarm({ ...pod, FullPodName: '../x' }), 'podName'],
    ['another state', alarm(pod, { NewStateValue: 'ALERT' }), 'ALERT'],
    ['a time that is none', alarm(pod, { StateChangeTime: 'now' }), 'time'],
    [
      'two pods',
      alarm(
        {},
        {
          Trigger: {
            Metrics: ['a', 'b'].map((name) => ({
              MetricStat: { Metric: { Dimensions: dimensions({ ...pod, FullPodName: name }) } },
            })),
          },
        },
      ),
      'dimension for pod',
    ],
  ])('that names %s is refused, and it says what is missing', (_name, raw, word) => {
    expect(faultOf(sns(raw))).toContain(word);
  });

  it('without a cluster is refused where the function has no default one', () => {
    const [only] = parseInvocation(sns(alarm(pod)), { now });

    expect(only).toMatchObject({ fault: { message: expect.stringContaining('cluster') } });
  });
});

describe('a body of Alertmanager over SNS', () => {
  it('gives a signal, a word of rest or a fault for each alert', () => {
    const labels = { namespace: 'shop', pod: 'cart-7f-x' };
    const body = alertmanagerBody(
      firing(labels, { startsAt: '2026-03-01 11:59:00 +0000 UTC' }),
      firing(labels, { status: 'resolved' }),
      firing({ instance: '10.0.0.1:9404' }),
    );

    const [first, second, third] = parse(sns(body));

    expect(first).toMatchObject({
      signal: {
        podName: 'cart-7f-x',
        observedTime: '2026-03-01T11:59:00.000Z',
        alertName: 'JvmHeapAfterGcHigh',
      },
    });
    expect(second).toHaveProperty('notFiring');
    expect(third).toMatchObject({ fault: { message: expect.stringContaining('webhook') } });
  });

  it('that fires for long counts as observed when it was told', () => {
    const labels = { namespace: 'shop', pod: 'cart-7f-x' };

    expect(
      parse(sns(alertmanagerBody(firing(labels, { startsAt: '2026-02-28T00:00:00Z' })))),
    ).toMatchObject([{ signal: { observedTime: '2026-03-01T12:00:03.000Z' } }]);
  });

  it.each<[string, Record<string, unknown>, Record<string, string>, object]>([
    ['begins in the future', { startsAt: '2026-03-01T12:00:09Z' }, {}, { observedTime: told }],
    ['is about the pause container', {}, { container: 'POD' }, { containerName: undefined }],
    ['is about a container', {}, { container: 'app' }, { containerName: 'app' }],
  ])('that %s is taken for what it can be', (_name, fields, more, expected) => {
    const labels = { namespace: 'shop', pod: 'cart-7f-x', ...more };
    const [only] = parse(sns(alertmanagerBody(firing(labels, fields))));

    expect(only && 'signal' in only ? only.signal : undefined).toMatchObject(expected);
  });

  it('answers any alarm, and throws nothing', () => {
    const hostile = fc.oneof(fc.anything(), fc.jsonValue());
    const body = fc.oneof(
      fc.record({
        AlarmName: fc.oneof(fc.string(), hostile),
        NewStateValue: fc.constantFrom('ALARM', 'OK', 'x', 7),
        StateChangeTime: fc.oneof(fc.string(), hostile),
        Trigger: fc.oneof(
          hostile,
          fc.record({ Dimensions: fc.array(fc.record({ name: fc.string(), value: hostile })) }),
          fc.record({ Metrics: fc.array(hostile) }),
        ),
      }),
      fc.record({ source: fc.constant('aws.cloudwatch'), detail: hostile, alarmData: hostile }),
    );
    fc.assert(
      fc.property(body, (raw) => {
        expect(parse(raw)).toHaveLength(1);
      }),
    );
  });
});
