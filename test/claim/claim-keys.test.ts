import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import {
  captureItemKey,
  clusterSlotKeys,
  leftoversLockKeyOf,
  lockItemKey,
  lockKeyOf,
  nodeSlotKeys,
  spreadBy,
} from '../../lib/claim/claim-keys.ts';
import { anyText } from '../any-text.ts';

/** Everything a name could be, among it what looks like the encoding itself, and lone surrogates. */
const name = fc.oneof(
  anyText({ maxLength: 300 }),
  fc
    .array(fc.constantFrom('a', '/', '#', '%', '%002f', '~', '\ud800', 'x'.repeat(150)))
    .map((of) => of.join('')),
);
const names = fc.tuple(name, name, name, name);

const keyOf = ([clusterName, namespace, kind, of]: readonly [string, string, string, string]) =>
  lockKeyOf({ clusterName, namespace, workload: { kind, name: of } });

describe('keys', () => {
  it('give each container its own lock for leftovers, beside the workload’s', () => {
    const of = { clusterName: 'prod', namespace: 'shop', workload: { kind: 'Pod', name: 'cart' } };
    const own = { ...of, podUid: 'uid-1', containerName: 'app' };

    expect(leftoversLockKeyOf(own)).toBe('prod/shop/Pod/cart/leftovers/uid-1/app');
    expect(leftoversLockKeyOf({ ...own, podUid: 'uid-2' })).not.toBe(leftoversLockKeyOf(own));
  });

  it('are readable where names are plain', () => {
    expect(keyOf(['prod-eu.1', 'shop', 'Deployment', 'cart'])).toBe(
      'prod-eu.1/shop/Deployment/cart',
    );
    expect(lockItemKey('prod/shop/Deployment/cart')).toBe('lock#prod/shop/Deployment/cart');
    expect(captureItemKey('0123abcd')).toBe('capture#0123abcd');
    expect(nodeSlotKeys('prod', 'ip-10-0-0-1.ec2', 2)).toEqual([
      'slot#node#prod/ip-10-0-0-1.ec2/0',
      'slot#node#prod/ip-10-0-0-1.ec2/1',
    ]);
    expect(clusterSlotKeys('prod', 1)).toEqual(['slot#cluster#prod/0']);
  });

  it('differ whenever any of the names differs', () => {
    fc.assert(
      fc.property(names, names, (left, right) => {
        expect(keyOf(left) === keyOf(right)).toBe(left.every((of, index) => of === right[index]));
      }),
    );
  });

  it('stay under the 2,048 bytes of a partition key and are plain text', () => {
    fc.assert(
      fc.property(names, (of) => {
        expect(lockItemKey(keyOf(of))).toMatch(/^[A-Za-z0-9._%~/#-]{1,1000}$/);
      }),
    );
    const huge = 'ä'.repeat(1_000_000);
    expect(keyOf([huge, huge, huge, huge]).length).toBeLessThan(1_000);
  });

  it('of slots come in an order that the captureId chooses, each once', () => {
    const keys = clusterSlotKeys('prod', 5);
    const firsts = Array.from({ length: 50 }, (_, index) => spreadBy(`capture-${index}`, keys)[0]);

    expect(new Set(firsts)).toEqual(new Set(keys));
    expect(spreadBy('capture-1', keys).toSorted()).toEqual(keys);
    expect(spreadBy('capture-1', [])).toEqual([]);
  });
});
