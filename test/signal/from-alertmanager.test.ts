import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { CaptureError } from '../../lib/errors.ts';
import { readAlertTime } from '../../lib/signal/alert.ts';
import { maxAlertCount, parseAlertmanagerBody } from '../../lib/signal/from-alertmanager.ts';
import { anyText } from '../any-text.ts';
import { alertmanagerBody, firing } from './alert-fixtures.ts';

const only = (alert: unknown) => {
  const [reading] = parseAlertmanagerBody(alertmanagerBody(alert)).readings;
  if (reading === undefined) throw new Error('no reading');
  return reading;
};
const alertOf = (raw: unknown) => {
  const reading = only(raw);
  if ('fault' in reading) throw reading.fault;
  return reading.alert;
};
const messageOf = (raw: unknown): string => {
  const reading = only(raw);
  return 'fault' in reading ? reading.fault.message : '';
};

describe('parseAlertmanagerBody', () => {
  it('reads what an alert says, and takes its zero endsAt for nothing', () => {
    const alert = alertOf(firing({ namespace: 'shop', pod: 'cart-1' }));

    expect(alert).toMatchObject({
      alertName: 'JvmHeapAfterGcHigh',
      firing: true,
      startsTime: '2026-03-01T09:58:00.123Z',
      identity: 'c4e1a5f0b2d3e4f5',
    });
    expect(alert.labels.get('pod')).toBe('cart-1');
  });

  it('tells a resolved alert from a firing one in the same group', () => {
    const { readings } = parseAlertmanagerBody(
      alertmanagerBody(firing({}), firing({}, { status: 'resolved' })),
    );

    expect(readings).toMatchObject([{ alert: { firing: true } }, { alert: { firing: false } }]);
  });

  it('makes the same identity of the same labels where there is no fingerprint', () => {
    const identity = (labels: Record<string, string>) =>
      alertOf(firing(labels, { fingerprint: undefined })).identity;

    expect(identity({ a: '1', b: '2' })).toBe(identity({ b: '2', a: '1' }));
    expect(identity({ a: '1', b: '2' })).not.toBe(identity({ a: '2', b: '1' }));
  });

  it('counts what the sender left out, and what is beyond its own bound', () => {
    const alerts = Array.from({ length: maxAlertCount + 7 }, () => firing({}));
    const body = { ...alertmanagerBody(...alerts), truncatedAlerts: 3 };

    const parsed = parseAlertmanagerBody(body);

    expect(parsed.readings).toHaveLength(maxAlertCount);
    expect(parsed).toMatchObject({ unreadCount: 7, truncatedCount: 3 });
  });

  it('reads the body of Amazon Managed Prometheus’ template, with times as Go prints them', () => {
    const { readings } = parseAlertmanagerBody({
      receiver: 'default',
      status: 'firing',
      alerts: [
        {
          status: 'firing',
          labels: { pod: 'cart-1' },
          startsAt: '2026-03-01 09:58:00.5 +0000 UTC',
        },
      ],
    });

    expect(readings).toMatchObject([{ alert: { startsTime: '2026-03-01T09:58:00.500Z' } }]);
  });

  it.each<[string, unknown, string]>([
    ['no object', 'x', 'alerts.0'],
    ['labels as a list', firing({}, { labels: ['a'] }), 'alerts.0.labels'],
    ['a label that is a number', firing({ pod: 7 }), 'alerts.0.labels.pod'],
    ['another status', firing({}, { status: 'pending' }), 'alerts.0.status'],
    ['a time that is none', firing({}, { startsAt: 'yesterday' }), 'alerts.0.startsAt'],
    ['a month that is none', firing({}, { startsAt: '2026-13-01T00:00:00Z' }), 'startsAt'],
    [
      '300 labels',
      firing(Object.fromEntries(Array.from({ length: 300 }, (_, index) => [`l${index}`, '']))),
      'labels',
    ],
  ])('names the field of %s, and reads the others', (_name, raw, field) => {
    expect(messageOf(raw)).toContain(field);
    expect(parseAlertmanagerBody(alertmanagerBody(raw, firing({}))).readings[1]).toHaveProperty(
      'alert',
    );
  });

  it.each<[string, unknown]>([
    ['nothing', undefined],
    ['a list', []],
    ['no alerts', { receiver: 'x', status: 'firing' }],
    ['version 3', { ...alertmanagerBody(), version: '3' }],
  ])('refuses %s as a whole', (_name, body) => {
    expect(() => parseAlertmanagerBody(body)).toThrow(
      expect.objectContaining({ code: 'InvalidSignal', retryable: false }),
    );
  });

  it('answers any alert with an alert or a bounded fault', () => {
    const hostile = fc.oneof(fc.anything(), fc.jsonValue({ maxDepth: 20 }));
    const label = fc.oneof(anyText(), fc.constant('x'.repeat(100_000)), hostile);
    const names = fc.constantFrom('pod', '__proto__', 'constructor', 'alertname', 'instance', '');
    const alert = fc.oneof(
      hostile,
      fc.record({
        status: fc.constantFrom('firing', 'resolved', undefined, 7),
        labels: fc.dictionary(fc.oneof(names, fc.string()), label),
        startsAt: fc.oneof(
          fc.constantFrom('0001-01-01T00:00:00Z', '', null, '9999-99-99T99:99:99Z'),
          fc.date({ noInvalidDate: true }).map((date) => date.toISOString()),
          hostile,
        ),
        fingerprint: hostile,
      }),
    );
    fc.assert(
      fc.property(alert, (raw) => {
        const reading = only(raw);
        if ('fault' in reading) {
          expect(reading.fault).toBeInstanceOf(CaptureError);
          expect(reading.fault.message.length).toBeLessThan(1_000);
        } else {
          expect((reading.alert.alertName ?? '').length).toBeLessThanOrEqual(253);
          expect(reading.alert.identity.length).toBeLessThanOrEqual(64);
        }
      }),
    );
  });
});

describe('readAlertTime', () => {
  it.each<[string, string | undefined]>([
    ['2026-03-01T09:58:00Z', '2026-03-01T09:58:00.000Z'],
    ['2026-03-01T10:58:00+01:00', '2026-03-01T09:58:00.000Z'],
    ['2026-03-01T09:58:00.123+0000', '2026-03-01T09:58:00.123Z'],
    ['2026-03-01 09:58:00.123456789 +0000 UTC', '2026-03-01T09:58:00.123Z'],
    ['2026-03-01 10:58:00 +0100 CET m=+12.5', '2026-03-01T09:58:00.000Z'],
    ['0001-01-01T00:00:00Z', undefined],
    ['0001-01-01 00:00:00 +0000 UTC', undefined],
    ['', undefined],
  ])('reads %j', (text, time) => {
    expect(readAlertTime(text)).toBe(time);
  });

  it('refuses everything else, of any length, without trying long', () => {
    for (const text of [
      'now',
      '2026-03-01',
      '2026-02-30T25:00:00Z',
      `${' '.repeat(1e6)}Z`,
      7,
      {},
    ]) {
      expect(() => readAlertTime(text)).toThrow(RangeError);
    }
  });
});
