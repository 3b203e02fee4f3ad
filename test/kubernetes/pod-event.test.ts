import { describe, expect, it } from '@jest/globals';
import { podEventObject } from '../../lib/kubernetes/pod-event.ts';

const pod = { namespace: 'shop', podName: 'cart-1', podUid: 'uid-1' };
const event = { type: 'Normal' as const, reason: 'Dumped', message: 'all well', captureId: 'c1' };
const now = new Date('2026-01-02T03:04:05.678Z');
const nameOf = (changes: { pod?: Partial<typeof pod>; event?: Partial<typeof event> } = {}) =>
  podEventObject({ ...pod, ...changes.pod }, { ...event, ...changes.event }, now).metadata.name;

describe('podEventObject', () => {
  it('is about the pod with its uid, and from heapcatch', () => {
    expect(podEventObject(pod, event, now)).toMatchObject({
      involvedObject: { kind: 'Pod', namespace: 'shop', name: 'cart-1', uid: 'uid-1' },
      source: { component: 'heapcatch' },
      count: 1,
      firstTimestamp: '2026-01-02T03:04:05Z',
    });
  });

  it('has one name for one capture and reason, whatever it says and whenever', () => {
    const later = podEventObject(pod, { ...event, message: 'other' }, new Date(0));

    expect(later.metadata.name).toBe(nameOf());
    const others = [
      nameOf({ event: { captureId: 'c2' } }),
      nameOf({ event: { reason: 'Skipped' } }),
      nameOf({ pod: { podUid: 'uid-2' } }),
      nameOf(),
    ];
    expect(new Set(others).size).toBe(4);
  });

  it.each(['a'.repeat(253), `${'a'.repeat(236)}.${'b'.repeat(16)}`])(
    'keeps its name within the rules of the API for a long pod name',
    (podName) => {
      const name = nameOf({ pod: { podName } });

      expect(name.length).toBeLessThanOrEqual(253);
      expect(name).toMatch(/^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/);
    },
  );

  it.each([
    ['ascii', 'x'.repeat(2_000), 1_024],
    ['two bytes a character', `x${'ä'.repeat(1_000)}`, 1_023],
    ['four bytes a character', `xyz${'😀'.repeat(400)}`, 1_023],
  ])('cuts its message between characters: %s', (_case, message, bytes) => {
    const cut = podEventObject(pod, { ...event, message }, now)['message'] as string;

    expect(Buffer.byteLength(cut)).toBe(bytes);
    expect(message.startsWith(cut)).toBe(true);
  });
});
