import { describe, expect, it } from '@jest/globals';
import {
  fromAttributes,
  toAttributes,
  toConditionExpression,
} from '../../lib/aws/condition-expression.ts';
import { captureIsUnknown, lockMayBeTaken } from '../../lib/claim/claim-conditions.ts';
import { absent } from '../../lib/claim/condition.ts';

describe('toConditionExpression', () => {
  it('writes the whole condition of a claim into one expression', () => {
    const lock = {
      pk: 'lock#a',
      fencingToken: 7,
      acquireMillis: [9, 8],
      holderIdentity: 'other',
      expireTimeEpochSeconds: 1,
    };

    const expression = toConditionExpression(
      lockMayBeTaken(lock, { nowMillis: 3_600_010, dumpsPerHourCount: 4 })!,
    );

    expect(expression.ConditionExpression).toBe(
      '((#fencingToken = :v0 AND #acquireMillis = :v1 AND #holderIdentity = :v2)' +
        ' AND (attribute_not_exists(#pk) OR attribute_not_exists(#holderIdentity) OR #leaseExpireMillis <= :v3)' +
        ' AND (attribute_not_exists(#cooldownUntilMillis) OR #cooldownUntilMillis <= :v4)' +
        ' AND (attribute_not_exists(#acquireMillis[3]) OR #acquireMillis[3] <= :v5))',
    );
    expect(expression.ExpressionAttributeValues).toEqual({
      ':v0': { N: '7' },
      ':v1': { L: [{ N: '9' }, { N: '8' }] },
      ':v2': { S: 'other' },
      ':v3': { N: '3600010' },
      ':v4': { N: '3600010' },
      ':v5': { N: '10' },
    });
  });

  it('counts a record whose time is over as absent', () => {
    expect(toConditionExpression(captureIsUnknown(5_999)).ConditionExpression).toBe(
      '(attribute_not_exists(#pk) OR #expireTimeEpochSeconds <= :v0)',
    );
  });

  it('leaves out values where there are none', () => {
    expect(toConditionExpression(absent('pk'))).toEqual({
      ConditionExpression: 'attribute_not_exists(#pk)',
      ExpressionAttributeNames: { '#pk': 'pk' },
    });
  });
});

describe('attributes', () => {
  it('come back as they were, without those that are undefined', () => {
    const item = { pk: 'a', text: 'b', count: 2 ** 41, flag: false, list: [3, 2], none: undefined };

    expect(fromAttributes(toAttributes(item))).toEqual({
      pk: 'a',
      text: 'b',
      count: 2 ** 41,
      flag: false,
      list: [3, 2],
    });
    expect(toAttributes(item)).not.toHaveProperty('none');
  });
});
