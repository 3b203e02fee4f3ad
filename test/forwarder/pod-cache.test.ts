import { describe, expect, it } from '@jest/globals';
import { PodCache } from '../../lib/forwarder/pod-cache.ts';
import { aPod } from './fakes.ts';

describe('PodCache', () => {
  it('gives the last word about the same pod as its past', () => {
    const cache = new PodCache();
    cache.put(aPod({ ready: true }));

    const change = cache.put(aPod({ ready: false }));

    expect(change).toMatchObject({ previous: { ready: true }, current: { ready: false } });
  });

  it('gives a pod that was replaced under its name no past', () => {
    const cache = new PodCache();
    cache.put(aPod({ podUid: 'uid-1' }));

    const change = cache.put(aPod({ podUid: 'uid-2' }));

    expect(change).toMatchObject({ outcome: 'kept', previous: undefined });
    expect(cache.get('shop', 'cart-1')?.podUid).toBe('uid-2');
    expect(cache.size).toBe(1);
  });

  it('leaves the new pod alone when the deletion of the old one comes late', () => {
    const cache = new PodCache();
    cache.put(aPod({ podUid: 'uid-2' }));

    cache.delete(aPod({ podUid: 'uid-1' }));

    expect(cache.get('shop', 'cart-1')?.podUid).toBe('uid-2');
  });

  it('forgets what a list no longer has, in the namespaces that were listed', () => {
    const cache = new PodCache();
    cache.put(aPod({ podName: 'a', podUid: 'a' }));
    cache.put(aPod({ podName: 'b', podUid: 'b' }));
    cache.put(aPod({ namespace: 'pay', podName: 'c', podUid: 'c' }));

    expect(cache.retain('shop', [aPod({ podName: 'b', podUid: 'b' })])).toBe(1);
    expect([cache.get('shop', 'a'), cache.get('shop', 'b')?.podUid]).toEqual([undefined, 'b']);
    expect(cache.get('pay', 'c')?.podUid).toBe('c');
    expect(cache.retain('', [])).toBe(2);
  });

  it('finds a pod by its uid for as long as it knows it by its name', () => {
    const cache = new PodCache();
    cache.put(aPod({ podUid: 'uid-1' }));
    expect(cache.getByUid('uid-1')?.podName).toBe('cart-1');

    cache.put(aPod({ podUid: 'uid-2' }));
    cache.delete(aPod({ podUid: 'uid-1' }));
    expect([cache.getByUid('uid-1'), cache.getByUid('uid-2')?.podUid]).toEqual([
      undefined,
      'uid-2',
    ]);

    cache.delete(aPod({ podUid: 'uid-2' }));
    cache.put(aPod({ podUid: 'uid-3' }));
    cache.retain('', []);
    expect([cache.getByUid('uid-2'), cache.getByUid('uid-3')]).toEqual([undefined, undefined]);
  });

  it('refuses new pods when it is full and goes on with those it knows', () => {
    const cache = new PodCache(1);
    cache.put(aPod({ podName: 'a', podUid: 'a' }));

    expect(cache.put(aPod({ podName: 'b', podUid: 'b' })).outcome).toBe('refused');
    expect(cache.put(aPod({ podName: 'a', podUid: 'a', ready: false })).outcome).toBe('kept');
    expect(cache.put(aPod({ podName: 'a', podUid: 'a2' })).outcome).toBe('kept');
  });

  it('keeps no volumes and only the annotations of heapcatch', () => {
    const cache = new PodCache();
    cache.put(
      aPod({ annotations: { 'heapcatch.dev/enabled': 'false', 'big.example/x': 'x'.repeat(1e5) } }),
    );

    const kept = cache.get('shop', 'cart-1');

    expect(kept?.annotations).toEqual({ 'heapcatch.dev/enabled': 'false' });
    expect(kept?.containers[0]?.volumeMounts).toEqual([]);
  });
});
