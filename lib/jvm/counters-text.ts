import type { PerfData } from './hsperfdata.ts';

/** Texts that say what the JVM is. Others hold its command line, options and paths, in which secrets stand. */
const plainTexts = /^(?:java\.property\.java\.(?:version|vm\.[a-z.]+)|sun\.gc\.[A-Za-z0-9_.]+)$/;
const maxLineCount = 2_000;
const maxLineLength = 300;

/**
 * The performance counters for a person, `name value` a line, sorted: all numbers, and of the texts only those
 * that name versions and collectors.
 */
export function countersText(counters: PerfData): string {
  return [...counters]
    .filter(([name, value]) => typeof value === 'number' || plainTexts.test(name))
    .map(([name, value]) => `${name} ${value}`.replace(/[\u0000-\u001f\u007f]/g, ' '))
    .sort()
    .slice(0, maxLineCount)
    .map((line) => `${line.slice(0, maxLineLength)}\n`)
    .join('');
}
