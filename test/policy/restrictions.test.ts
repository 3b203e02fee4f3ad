import { describe, expect, it } from '@jest/globals';
import { withPodRedaction } from '../../lib/policy/redaction.ts';
import { defaultPolicy } from '../../lib/policy/resolve.ts';

describe('withPodRedaction', () => {
  it.each([
    ['none', undefined, 'none'],
    ['none', 'primitiveArrays', 'primitiveArrays'],
    ['none', ' allPrimitives ', 'allPrimitives'],
    ['primitiveArrays', undefined, 'primitiveArrays'],
    ['primitiveArrays', 'none', 'primitiveArrays'],
    ['primitiveArrays', 'allPrimitives', 'allPrimitives'],
    ['allPrimitives', 'primitiveArrays', 'allPrimitives'],
    ['none', 'primitivArrays', 'allPrimitives'],
    ['none', '', 'allPrimitives'],
  ] as const)('makes of a policy with %s and an annotation of %j: %s', (redact, asked, wanted) => {
    const annotations = asked === undefined ? {} : { 'heapcatch.dev/redact': asked };

    expect(withPodRedaction({ ...defaultPolicy, redact }, annotations)).toEqual({
      ...defaultPolicy,
      redact: wanted,
    });
  });
});
