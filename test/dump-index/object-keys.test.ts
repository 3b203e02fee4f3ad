import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import {
  capturePrefix,
  indexKey,
  objectKeys,
  parseManifestKey,
  ticketKey,
} from '../../lib/dump-index/object-keys.ts';
import { anyText } from '../any-text.ts';

const captureId = 'abcdefghijklmnopqrstuvwxyz234567';
const acquireTime = '2026-03-01T12:00:00.000Z';
const cart = {
  clusterName: 'prod-eu.1',
  namespace: 'shop',
  workload: { kind: 'Deployment', name: 'cart.v2' },
  acquireTime,
  captureId,
};

/** Names as an attacker, a typo or another system could write them. */
const anyName = fc.oneof(
  anyText({ maxLength: 30 }),
  fc.string({ unit: fc.constantFrom('.', '/', '%', '2', 'e', 'E', '!', '-', 'a', '\0') }),
  fc.constantFrom('', '.', '..', '../..', '%2e%2e', '\0', '\uD800', '\uDC00', 'a'.repeat(200)),
  fc.constantFrom('a'.repeat(201), 'ü'.repeat(99), 'A-B', 'A', 'B-C', 'C', '+', ' '),
);
const anyCapture = fc.record({
  clusterName: anyName,
  namespace: anyName,
  workload: fc.record({ kind: anyName, name: anyName }),
  acquireTime: fc
    .date({ min: new Date(0), max: new Date(9_999_999_999_999), noInvalidDate: true })
    .map((date) => date.toISOString()),
  captureId: fc.stringMatching(/^[a-z0-9]{16,40}$/),
});

describe('object keys', () => {
  it('shows plain names as they are', () => {
    expect(capturePrefix(cart)).toBe(
      `dumps/prod-eu.1/shop/Deployment-cart.v2/8227633599999-${captureId}/`,
    );
  });

  it('puts the ticket and the index entry outside the dumps', () => {
    expect(ticketKey(captureId, 7)).toBe(`tickets/${captureId}-7.json`);
    expect(indexKey(cart)).toBe(`index/8227633599999-${captureId}.json`);
  });

  it('gives every object of a capture a key of its own under the prefix', () => {
    const prefix = capturePrefix(cart);
    const keys = objectKeys(prefix);

    const all = [
      keys.manifest,
      keys.progress,
      keys.heapDump,
      keys.evidence('processFacts'),
      keys.evidence('heapInfo'),
      keys.evidence('threads'),
      keys.evidence('nativeMemory'),
      keys.evidence('classHistogram'),
    ];

    expect(new Set(all).size).toBe(8);
    expect(all.every((key) => key.startsWith(prefix))).toBe(true);
  });

  it('keeps any name inside its own segment, in at most 1024 bytes', () => {
    fc.assert(
      fc.property(anyCapture, (capture) => {
        const key = objectKeys(capturePrefix(capture)).evidence('classHistogram');
        const segments = key.split('/');

        expect(segments).toHaveLength(6);
        expect(segments.every((segment) => /^[A-Za-z0-9_.!-]+$/.test(segment))).toBe(true);
        expect(segments.some((segment) => /^\.|\.\.|\.$/.test(segment))).toBe(false);
        expect(key.length).toBeLessThanOrEqual(1024);
      }),
    );
  });

  it('gives different captures different prefixes', () => {
    fc.assert(
      fc.property(anyCapture, anyCapture, anyName, (one, other, name) => {
        const renamed = { ...one, clusterName: name };
        const swapped = {
          ...one,
          workload: { kind: one.workload.name, name: one.workload.kind },
        };

        for (const two of [other, renamed, swapped]) {
          const same = JSON.stringify(one) === JSON.stringify(two);
          expect(capturePrefix(one) === capturePrefix(two)).toBe(same);
        }
      }),
    );
  });

  it('tells workloads apart whose kind and name run into each other', () => {
    const prefixes = [
      { kind: 'A-B', name: 'C' },
      { kind: 'A', name: 'B-C' },
      { kind: 'A!2DB', name: 'C' },
    ].map((workload) => capturePrefix({ ...cart, workload }));

    expect(new Set(prefixes).size).toBe(3);
  });

  it('tells even lone surrogates apart, which no UTF-8 can', () => {
    const [high, low] = ['\uD800', '\uDC00'].map((namespace) =>
      capturePrefix({ ...cart, namespace }),
    );

    expect(high).not.toBe(low);
  });

  it('bounds a name of 10 MB', () => {
    const prefix = capturePrefix({ ...cart, namespace: 'n'.repeat(10_000_000) });

    expect(prefix.length).toBeLessThan(1_000);
  });

  it('lists newest first', () => {
    const time = fc.integer({ min: 0, max: 9_999_999_999_999 });
    fc.assert(
      fc.property(time, time, (one, other) => {
        const [a, b] = [one, other].map((milliseconds) =>
          indexKey({ captureId, acquireTime: new Date(milliseconds).toISOString() }),
        );

        expect(a! < b!).toBe(one > other);
      }),
    );
  });

  it.each(['yesterday', '', '1969-12-31T23:59:59Z', '2300-01-01T00:00:00Z'])(
    'refuses the acquireTime %j',
    (time) => {
      expect(() => indexKey({ captureId, acquireTime: time })).toThrow(
        expect.objectContaining({ code: 'InvalidIndexEntry' }),
      );
    },
  );

  it.each(['', 'short', '../../../../etc/passwd', 'A'.repeat(20), 'a'.repeat(41)])(
    'refuses the captureId %j',
    (id) => {
      expect(() => capturePrefix({ ...cart, captureId: id })).toThrow(
        expect.objectContaining({ code: 'InvalidIndexEntry' }),
      );
    },
  );
});

describe('the key of a manifest', () => {
  it('is read back as S3 sends it, URL-encoded or not', () => {
    const urlEncoded = (key: string): string =>
      key
        .split('/')
        .map((part) => encodeURIComponent(part).replaceAll('!', '%21').replaceAll('%20', '+'))
        .join('/');
    fc.assert(
      fc.property(anyCapture, (capture) => {
        const prefix = capturePrefix(capture);
        const { manifest } = objectKeys(prefix);
        const expected = { captureId: capture.captureId, prefix };

        expect(parseManifestKey(manifest)).toEqual(expected);
        expect(parseManifestKey(urlEncoded(manifest))).toEqual(expected);
      }),
    );
  });

  it.each([
    '',
    'manifest.json',
    `${capturePrefix(cart)}heap.hprof.zst`,
    `${capturePrefix(cart)}x/manifest.json`,
    `dumps/../../etc/8227633599999-${captureId}/manifest.json`,
    `dumps/a/b/8227633599999-${captureId}/manifest.json`,
    `dumps/a/b/c/8227633599999-UPPER/manifest.json`,
    `dumps/%E0%A4%A/b/c/8227633599999-${captureId}/manifest.json`,
    `${capturePrefix(cart)}manifest.json\n`,
  ])('is not %j', (key) => {
    expect(parseManifestKey(key)).toBeUndefined();
  });

  it('is not 6 MB long', () => {
    expect(parseManifestKey('dumps/'.repeat(1_000_000))).toBeUndefined();
  });

  it('is found in no arbitrary text, and nothing is thrown', () => {
    fc.assert(
      fc.property(anyText(), (key) => {
        expect(parseManifestKey(key)).toBeUndefined();
      }),
    );
  });
});
