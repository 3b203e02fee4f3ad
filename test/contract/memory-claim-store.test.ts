import { describe } from '@jest/globals';
import { createMemoryClaimStore } from '../../lib/local/memory-claim-store.ts';
import { claimStoreContract } from './claim-store.ts';

describe('the claim store in memory', () => {
  claimStoreContract({ create: (options) => Promise.resolve(createMemoryClaimStore(options)) });
});
