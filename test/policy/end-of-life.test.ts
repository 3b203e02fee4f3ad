import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { crashKinds } from '../../lib/jvm/crash-log.ts';
import {
  endCauses,
  isMemoryOrJvm,
  judgeEnd,
  killers,
  type EndFacts,
} from '../../lib/policy/end-of-life.ts';
import { anyText } from '../any-text.ts';

const error = { reason: 'Error' };

describe('judgeEnd', () => {
  it.each<[string, EndFacts]>([
    ['heap', { ...error, exitCode: 3 }],
    ['heap', { ...error, exitCode: 3, heapDumpLeft: true }],
    ['heap', { ...error, exitCode: 137, heapDumpLeft: true }],
    ['heap', { ...error, exitCode: 134, crash: { kind: 'javaOutOfMemory' } }],
    ['heap', { reason: 'OOMKilled', exitCode: 137, history: { heapAfterGcPercent: 97 } }],
    [
      'heap',
      { ...error, exitCode: 143, killedBy: 'livenessProbe', history: { gcTimePercent: 80 } },
    ],
    ['heap', { ...error, exitCode: 1, history: { heapAfterGcPercent: 99 } }],
    ['offHeap', { reason: 'OOMKilled', exitCode: 137, history: { heapUsedPercent: 40 } }],
    ['offHeap', { ...error, exitCode: 1, crash: { kind: 'nativeOutOfMemory' } }],
    ['containerMemory', { reason: 'OOMKilled', exitCode: 137 }],
    ['containerMemory', { reason: 'OOMKilled', exitCode: 137, history: { heapUsedPercent: 80 } }],
    ['jvmCrash', { ...error, exitCode: 134 }],
    ['jvmCrash', { ...error, exitCode: 139 }],
    ['jvmCrash', { ...error, exitCode: 137, crash: { kind: 'signal' } }],
    [
      'nodeMemory',
      { reason: 'Evicted', evictionMessage: 'The node was low on resource: memory. ' },
    ],
    [
      'nodeMemory',
      { reason: 'Evicted', evictionMessage: 'The node had condition: [MemoryPressure]. ' },
    ],
    [
      'eviction',
      {
        reason: 'Evicted',
        evictionMessage: 'Usage of EmptyDir volume "tmp" exceeds the limit "1Mi". ',
      },
    ],
    ['eviction', { reason: 'Evicted' }],
    ['probe', { ...error, exitCode: 137, killedBy: 'livenessProbe' }],
    ['probe', { ...error, exitCode: 143, killedBy: 'startupProbe' }],
    ['stopped', { ...error, exitCode: 143, killedBy: 'other' }],
    ['stopped', { reason: 'Completed', exitCode: 0 }],
    ['application', { ...error, exitCode: 1 }],
    ['unknown', { ...error, exitCode: 137 }],
    ['unknown', { reason: 'Unknown' }],
    // Somebody asks for collections in a heap that has room.
    [
      'probe',
      {
        ...error,
        exitCode: 137,
        killedBy: 'livenessProbe',
        history: { gcTimePercent: 80, heapUsedPercent: 20 },
      },
    ],
    // A pod that is deleted ends whatever its heap is like.
    [
      'stopped',
      { ...error, exitCode: 143, killedBy: 'other', history: { heapAfterGcPercent: 99 } },
    ],
  ])('says %s of %j', (cause, facts) => {
    expect(judgeEnd(facts).cause).toBe(cause);
  });

  it('tells the numbers, the kubelet’s words and where it crashed', () => {
    const history = { heapUsedPercent: 41.26, cgroupUsedPercent: 99, fullGcCount: 0 };
    const crash = { kind: 'signal', cause: 'SIGSEGV (0xb)', frame: 'C  [libz.so+0x1]' } as const;

    expect(judgeEnd({ reason: 'OOMKilled', exitCode: 137, history }).explanation).toBe(
      'the kernel killed it at its memory limit (OOMKilled), while the heap had room; at most in the last ten minutes: heap used 41.3 %, memory limit used 99 %, full GCs 0',
    );
    expect(judgeEnd({ ...error, evictionMessage: 'low on\nresource: memory' }).explanation).toBe(
      'the kubelet evicted the pod: low on resource: memory',
    );
    expect(judgeEnd({ ...error, crash }).explanation).toContain('in C  [libz.so+0x1]');
  });

  it('answers any facts, the same each time, with a cause of the closed set and a bounded line of text', () => {
    const number = fc.oneof(fc.double(), fc.integer());
    const facts: fc.Arbitrary<EndFacts> = fc.record(
      {
        reason: fc.oneof(fc.string(), fc.constantFrom('OOMKilled', 'Error', 'Evicted')),
        exitCode: fc.oneof(fc.integer(), fc.integer({ min: 0, max: 255 })),
        killedBy: fc.constantFrom(...killers),
        evictionMessage: anyText({ maxLength: 2_000 }),
        history: fc.record(
          {
            heapUsedPercent: number,
            heapAfterGcPercent: number,
            cgroupUsedPercent: number,
            gcTimePercent: number,
            fullGcCount: number,
          },
          { requiredKeys: [] },
        ),
        crash: fc.record(
          {
            kind: fc.constantFrom(...crashKinds),
            cause: anyText({ maxLength: 500 }),
            frame: fc.string(),
          },
          { requiredKeys: ['kind'] },
        ),
        heapDumpLeft: fc.boolean(),
      },
      { requiredKeys: ['reason'] },
    );
    fc.assert(
      fc.property(facts, (given) => {
        const verdict = judgeEnd(given);

        expect(judgeEnd(structuredClone(given))).toEqual(verdict);
        expect(endCauses).toContain(verdict.cause);
        expect(verdict.explanation).toMatch(/^[\u0020-\u007e]{1,400}$/);
        expect(verdict.explanation).not.toMatch(/NaN|undefined/);
      }),
      { numRuns: 2_000 },
    );
  });
});

describe('isMemoryOrJvm', () => {
  it('holds for what a heap dump, a crash log or more memory can explain', () => {
    expect(endCauses.filter(isMemoryOrJvm)).toEqual([
      ...['heap', 'offHeap', 'containerMemory', 'jvmCrash', 'nodeMemory'],
    ]);
  });
});
