import type { Frame } from '../hprof/stack-table.ts';
import type { Survey } from '../hprof/survey.ts';
import type { Report } from './report-schema.ts';

const maxThreadCount = 100_000;
const maxGroupCount = 2_000;
const maxNamedThreads = 1_000;

type StackGroup = Report['stacks'][number];

/** Threads of a dump by their stacks, the most common first; those without a stack are one group, the last. */
export function groupStacks(
  survey: Survey,
  threadNames: ReadonlyMap<number, string>,
): { stacks: StackGroup[]; threadCount: number } {
  const localCounts = new Map<number, number>();
  const threads: { serial: number; trace: number }[] = [];
  for (let index = 0; index < survey.roots.length; index += 1) {
    const { kind, threadSerial, number } = survey.roots.at(index);
    if (kind === 'threadObject') {
      if (threads.length < maxThreadCount) threads.push({ serial: threadSerial, trace: number });
    } else if (kind === 'javaFrame' || kind === 'jniLocal') {
      localCounts.set(threadSerial, (localCounts.get(threadSerial) ?? 0) + 1);
    }
  }
  const groups = new Map<string, StackGroup>();
  for (const { serial, trace } of threads) {
    const found = survey.stacks.trace(trace);
    const frames = (found?.frames ?? []).map((frame) => frameText(survey, frame));
    const key = frames.join('\n');
    const group = groups.get(key) ?? {
      threads: [],
      threadCount: 0,
      frames,
      frameCount: found?.frameCount ?? 0,
    };
    groups.set(key, group);
    group.threadCount += 1;
    if (group.threads.length >= maxNamedThreads) continue;
    const name = threadNames.get(serial);
    const localCount = localCounts.get(serial) ?? 0;
    group.threads.push({ serial, ...(name !== undefined && { name }), localCount });
  }
  const stacks = [...groups.values()].sort(
    (one, other) =>
      Number(other.frames.length > 0) - Number(one.frames.length > 0) ||
      other.threadCount - one.threadCount ||
      other.frames.length - one.frames.length,
  );
  return { stacks: stacks.slice(0, maxGroupCount), threadCount: threads.length };
}

/** `com.shop.Cart.add(Cart.java:42)`. */
function frameText({ names, tally, classOfSerial }: Survey, frame: Frame | undefined): string {
  if (!frame) return '(a frame that the dump does not describe)';
  const classIndex = classOfSerial.get(frame.classSerial);
  const className = classIndex === undefined ? '?' : tally.nameOf(classIndex, names);
  const method = names.textOf(frame.methodHigh, frame.methodLow) ?? '?';
  const source = names.textOf(frame.sourceHigh, frame.sourceLow) ?? 'Unknown Source';
  const line = frame.line > 0 ? `:${frame.line}` : '';
  const place = frame.line === -3 ? 'Native Method' : `${source}${line}`;
  return `${className}.${method}(${place})`;
}
