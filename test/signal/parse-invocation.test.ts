import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { maxSignalCount, parseInvocation } from '../../lib/signal/parse-invocation.ts';
import { signal } from '../policy/facts.ts';

const now = new Date('2026-03-01T12:00:05.000Z');
const parse = (invocation: unknown) => parseInvocation(invocation, { now, clusterName: 'prod' });
const bare = signal();
const manual = { namespace: 'shop', pod: 'cart-7f-x' };
const manualSignal = {
  schemaVersion: 1,
  clusterName: 'prod',
  namespace: 'shop',
  podName: 'cart-7f-x',
  reason: 'Manual',
  observedTime: now.toISOString(),
  numbers: {},
};
const envelope = (detail: unknown) => ({
  version: '0',
  id: '6a7e8feb',
  'detail-type': 'heapcatch Signal',
  source: 'heapcatch',
  account: '123456789012',
  time: '2026-03-01T12:00:02Z',
  region: 'eu-central-1',
  resources: [],
  detail,
});
const sns = (...messages: unknown[]) => ({
  Records: messages.map((message) => ({
    EventSource: 'aws:sns',
    EventVersion: '1.0',
    Sns: {
      Type: 'Notification',
      Timestamp: '2026-03-01T12:00:03.000Z',
      Message: typeof message === 'string' ? message : JSON.stringify(message),
    },
  })),
});
const sqs = (...bodies: unknown[]) => ({
  Records: bodies.map((body) => ({
    messageId: 'm',
    eventSource: 'aws:sqs',
    attributes: { SentTimestamp: String(Date.UTC(2026, 2, 1, 12, 0, 4)) },
    body: JSON.stringify(body),
  })),
});

function faultOf(invocation: unknown): { code: string; message: string } {
  const [only, ...others] = parse(invocation);
  expect(others).toEqual([]);
  if (only === undefined || !('fault' in only)) throw new Error('expected one fault');
  expect(only.fault.retryable).toBe(false);
  expect(only.fault.message.length).toBeLessThan(2_000);
  return only.fault;
}

describe('parseInvocation', () => {
  it.each<[string, unknown]>([
    ['a bare Signal', bare],
    ['an EventBridge envelope', envelope(bare)],
    ['an SNS record', sns(bare)],
    ['an SNS record with an EventBridge envelope', sns(envelope(bare))],
    ['an SQS record', sqs(bare)],
    ['a dead letter of EventBridge', sqs(envelope(bare))],
    ['a dead letter of SNS', sqs({ Type: 'Notification', Message: JSON.stringify(bare) })],
    ['a dead letter of Lambda', sqs(sns(bare))],
    ['a failure record of Lambda', sqs({ version: '1.0', requestPayload: sns(envelope(bare)) })],
  ])('reads a Signal from %s', (_name, invocation) => {
    expect(parse(invocation)).toEqual([{ signal: bare }]);
  });

  it('reads what a person types', () => {
    expect(parse(manual)).toEqual([{ signal: manualSignal }]);
    expect(parse({ ...manual, cluster: 'test', container: 'app', dryRun: true })).toEqual([
      { signal: { ...manualSignal, clusterName: 'test', containerName: 'app', dryRun: true } },
    ]);
  });

  it.each<[string, unknown, string]>([
    ['EventBridge', envelope(manual), '2026-03-01T12:00:02Z'],
    ['SNS', sns(manual), '2026-03-01T12:00:03.000Z'],
    ['SQS', sqs(manual), '2026-03-01T12:00:04.000Z'],
    ['SNS in SQS', sqs(sns(manual)), '2026-03-01T12:00:03.000Z'],
  ])('gives a request over %s the time of its envelope, the same at each delivery', (...row) => {
    const [, invocation, observedTime] = row;

    expect(parse(invocation)).toEqual([{ signal: { ...manualSignal, observedTime } }]);
  });

  it.each([
    ['no namespace', { pod: 'cart-7f-x', dryRun: true }, { dryRun: true }],
    ['a cluster only', { pod: 'cart-7f-x', cluster: 'test' }, { clusterName: 'test' }],
  ])('leaves the place to be found where a request names %s', (_what, invocation, named) => {
    const observedTime = now.toISOString();

    expect(parse(invocation)).toEqual([
      { sought: { podName: 'cart-7f-x', observedTime, ...named } },
    ]);
  });

  it('leaves the cluster to be found where the function has no default', () => {
    const [only] = parseInvocation(manual, { now });

    expect(only).toMatchObject({ sought: { podName: 'cart-7f-x', namespace: 'shop' } });
  });

  it('keeps the good ones of a batch, in order', () => {
    const parsed = parse(sns(bare, 'no JSON', { ...bare, podName: 'UPPER' }, manual));

    expect(
      parsed.map((one) =>
        'signal' in one ? one.signal.reason : 'fault' in one ? one.fault.code : 'quiet',
      ),
    ).toEqual(['LivenessProbeFailing', 'InvalidSignal', 'InvalidSignal', 'Manual']);
  });

  it('says that an alert as text is not understood, and what is', () => {
    const fault = faultOf(sns('Alerts Firing:\nLabels:\n - alertname = Heap\n'));

    expect(fault).toMatchObject({ code: 'NotSupported' });
    expect(fault.message).toContain('docs/ways/alertmanager.md');
  });

  it.each<[string, unknown, string]>([
    ['nothing', undefined, 'invocation'],
    ['text', 'hello', 'invocation'],
    ['a list', [bare], 'invocation'],
    ['an empty object', {}, 'pod'],
    ['no records', { Records: [] }, 'Records'],
    ['records that are none', { Records: 7 }, 'Records'],
    ['an S3 record', { Records: [{ eventSource: 'aws:s3', s3: {} }] }, 'Records.0'],
    ['an SNS record without text', { Records: [{ Sns: {} }] }, 'Records.0.Sns.Message'],
    ['text that is no JSON', sns('{'), 'Records.0.Sns.Message'],
    ['a foreign event', { ...envelope({}), 'detail-type': 'EC2 Instance' }, 'detail-type'],
    ['an envelope without detail', envelope(undefined), 'detail'],
    ['a Signal of another version', { ...bare, schemaVersion: 2 }, 'schemaVersion'],
    ['a Signal with a typo', { ...bare, containerNames: 'app' }, 'containerNames'],
    ['a Signal without uid', { ...bare, podUid: undefined }, 'podUid'],
    ['a name of 10 MB', { ...bare, podName: 'a'.repeat(10_000_000) }, 'podName'],
    ['a key of 10 MB', { ...bare, ['k'.repeat(10_000_000)]: 1 }, 'signal'],
    ['a request for a name of 10 MB', { ...manual, pod: 'a'.repeat(10_000_000) }, 'pod'],
    ['a request with a typo', { ...manual, containr: 'app' }, 'containr'],
    ['a request for a path', { namespace: '../kube-system', pod: 'x' }, 'namespace'],
    ['text of 2 MiB', sns('"'.padEnd(2_097_152, 'x')), 'Records.0.Sns.Message'],
    ['deep JSON', sns(`${'['.repeat(400_000)}${']'.repeat(400_000)}`), 'Records.0.Sns.Message'],
    [
      'deep JSON in a Signal',
      sns(`{"schemaVersion":${'['.repeat(9e4)}${']'.repeat(9e4)}}`),
      'schemaVersion',
    ],
    ['many records', sns(...Array.from({ length: 1_001 }, () => bare)), 'Records'],
  ])('names the field when it gets %s', (_name, invocation, field) => {
    const fault = faultOf(invocation);

    expect(fault.code).toBe('InvalidSignal');
    expect(fault.message).toContain(field);
  });

  it('opens envelopes in envelopes only so deep', () => {
    let invocation: unknown = bare;
    for (let depth = 0; depth < 200; depth += 1) invocation = envelope(invocation);

    expect(faultOf(invocation).message).toContain('envelopes');
  });

  it('bounds what batches in batches hold together', () => {
    const hundred = Array.from({ length: 100 }, () => bare);
    const invocation = sqs(...Array.from({ length: 11 }, () => sqs(...hundred)));

    expect(faultOf(invocation).message).toContain(String(maxSignalCount));
  });

  it('answers anything, and throws nothing', () => {
    const json = fc.jsonValue();
    const anyInvocation = fc.oneof(
      fc.anything(),
      json,
      json.map(envelope),
      fc.array(json, { maxLength: 3 }).map((bodies) => sns(...bodies)),
      fc.array(json, { maxLength: 3 }).map((bodies) => sqs(...bodies)),
      fc.record({ Records: fc.anything() }),
      fc.dictionary(fc.constantFrom('schemaVersion', 'namespace', 'pod', 'Type', 'Message'), json),
    );
    fc.assert(
      fc.property(anyInvocation, (invocation) => {
        for (const one of parse(invocation)) {
          expect('fault' in one ? one.fault.code : '').toMatch(/^(|InvalidSignal|NotSupported)$/);
        }
      }),
    );
  });
});
