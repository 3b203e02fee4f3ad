import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { CaptureError } from '../../lib/errors.ts';
import { parseKubernetesEvent } from '../../lib/signal/kubernetes-event.ts';
import { kubernetesEvents } from './kubernetes-events.ts';

const { livenessFailing, livenessFailingEventsApi, scheduledEventsApi } = kubernetesEvents;

describe('parseKubernetesEvent', () => {
  it('reads the same from both forms of one Event', () => {
    const expected = {
      eventUid: 'a6027a8b-b1f6-4623-a743-afd50ad95b4d',
      type: 'Warning',
      reason: 'Unhealthy',
      message: 'Liveness probe failed: dial tcp 10.244.0.7:81: connect: connection refused',
      regarding: {
        kind: 'Pod',
        namespace: 'signal-fixtures',
        name: 'liveness',
        uid: 'b92dc64e-4260-45e6-8406-98e6c933fe04',
        containerName: 'app',
      },
      count: 7,
      firstTime: '2026-11-24T03:55:41Z',
      lastTime: '2026-11-24T03:55:59Z',
    };

    expect(parseKubernetesEvent(livenessFailing)).toEqual(expected);
    expect(parseKubernetesEvent(livenessFailingEventsApi)).toEqual(expected);
  });

  it('takes eventTime where the timestamps are null', () => {
    const event = parseKubernetesEvent(scheduledEventsApi);

    expect(event.lastTime).toBe('2026-11-24T03:55:38.385046Z');
    expect(event.count).toBe(1);
    expect(event.regarding.containerName).toBeUndefined();
  });

  it('takes count and time of a series, in both forms', () => {
    const series = { count: 12, lastObservedTime: '2026-11-24T04:00:00.000001Z' };
    for (const event of [livenessFailing, livenessFailingEventsApi]) {
      expect(parseKubernetesEvent({ ...event, series })).toMatchObject({
        count: 12,
        firstTime: '2026-11-24T03:55:41Z',
        lastTime: '2026-11-24T04:00:00.000001Z',
      });
    }
  });

  it('falls back to the creation where there is no other time', () => {
    const timeless = { ...livenessFailing, firstTimestamp: null, lastTimestamp: null };

    const event = parseKubernetesEvent(timeless);

    expect(event.lastTime).toBe(livenessFailing.metadata.creationTimestamp);
  });

  it('takes a count of 0 or none for one', () => {
    expect(parseKubernetesEvent({ ...livenessFailing, count: 0 }).count).toBe(1);
    expect(parseKubernetesEvent({ ...livenessFailing, count: null }).count).toBe(1);
  });

  it('removes what the recorder writes before combined Events', () => {
    const message = `(combined from similar events): ${livenessFailing.message}`;

    expect(parseKubernetesEvent({ ...livenessFailing, message }).message).toBe(
      livenessFailing.message,
    );
  });

  it.each([
    ['spec.containers{app}', 'app'],
    ['spec.initContainers{proxy}', 'proxy'],
    ['spec.ephemeralContainers{debug}', 'debug'],
    ['spec.containers{}', undefined],
    ['spec.containers{a}{b}', undefined],
    ['metadata.name', undefined],
    [null, undefined],
  ])('finds in the fieldPath %j the container %j', (fieldPath, containerName) => {
    const involvedObject = { ...livenessFailing.involvedObject, fieldPath };

    const event = parseKubernetesEvent({ ...livenessFailing, involvedObject });

    expect(event.regarding.containerName).toBe(containerName);
  });

  it.each([
    ['lastTimestamp', { ...livenessFailing, lastTimestamp: 'yesterday' }],
    ['count', { ...livenessFailing, count: -1 }],
    ['message', { ...livenessFailing, message: 'x'.repeat(10_000_000) }],
    ['involvedObject', { ...livenessFailing, involvedObject: null }],
    ['involvedObject.name', { ...livenessFailing, involvedObject: { name: 'n'.repeat(1e7) } }],
    ['time', { metadata: {}, involvedObject: {} }],
    ['metadata', {}],
    ['Kubernetes Event', 'no object'],
  ])('names %s when that is amiss', (field, raw) => {
    expect(() => parseKubernetesEvent(raw)).toThrow(
      expect.objectContaining({
        code: 'InvalidSignal',
        message: expect.stringMatching(new RegExp(`^.{0,1000}${field}.{0,1000}$`, 's')),
      }),
    );
  });

  it('answers any junk with a typed error or a bounded event', () => {
    const junk = fc.oneof(
      fc.anything(),
      fc.record(
        {
          metadata: fc.oneof(
            fc.anything(),
            fc.constant({ creationTimestamp: '2026-01-01T00:00:00Z' }),
          ),
          involvedObject: fc.oneof(fc.anything(), fc.constant({})),
          regarding: fc.anything(),
          series: fc.anything(),
          count: fc.anything(),
          message: fc.anything(),
          lastTimestamp: fc.anything(),
        },
        { requiredKeys: [] },
      ),
    );
    fc.assert(
      fc.property(junk, (raw) => {
        try {
          expect(parseKubernetesEvent(raw).message.length).toBeLessThanOrEqual(1_024);
        } catch (error) {
          expect(error).toBeInstanceOf(CaptureError);
          expect(error).toHaveProperty('code', 'InvalidSignal');
        }
      }),
    );
  });
});
