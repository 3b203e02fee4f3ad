import SequencerModule from '@jest/test-sequencer';

// A CommonJS module with a default export.
const Sequencer = SequencerModule.default ?? SequencerModule;
const slow = new Set(['jvm', 'contract']);

/**
 * The files that start JVMs and clusters first. Jest knows how long a file takes only where it ran it before; on a fresh
 * machine it goes by size, and the last file would run alone on one of two cores.
 */
export default class SlowFirst extends Sequencer {
  sort(tests) {
    const sorted = super.sort(tests);
    const isSlow = ({ context }) => slow.has(context.config.displayName?.name);
    return [...sorted.filter(isSlow), ...sorted.filter((test) => !isSlow(test))];
  }
}
