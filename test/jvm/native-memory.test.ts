import { describe, expect, it } from '@jest/globals';
import {
  committedBytesOf,
  nativeMemoryIsOff,
  parseNativeMemory,
} from '../../lib/jvm/native-memory.ts';
import { fixture, fixtureNames } from './fixtures.ts';

const MiB = 1024 * 1024;

describe('parseNativeMemory', () => {
  it.each([17, 25])('reads the categories of JDK %i', (major) => {
    const memory = parseNativeMemory(fixture(`jdk${major}-native-memory.txt`))!;

    expect(committedBytesOf(memory, 'Java Heap')).toBe(64 * MiB);
    expect(committedBytesOf(memory, 'Other')).toBe(100 * MiB);
    expect(committedBytesOf(memory, 'Native Memory Tracking')).toBeGreaterThan(0);
    expect(committedBytesOf(memory, 'No Such')).toBe(0);
    const sum = memory.categories.reduce((all, { committedBytes }) => all + committedBytes, 0);
    expect(Math.abs(memory.committedBytes - sum)).toBeLessThan(memory.categories.length * 1024);
    expect(memory.reservedBytes).toBeGreaterThan(memory.committedBytes);
  });

  it('knows its own answers and no others', () => {
    const answered = fixtureNames.filter((name) => parseNativeMemory(fixture(name)) !== undefined);

    expect(answered).toEqual(['jdk17-native-memory.txt', 'jdk25-native-memory.txt']);
  });

  it.each([
    ['Total: reserved=3GB, committed=2GB', 2 * 1024 * MiB],
    ['Total: reserved=9007199254740, committed=5000000000', 5_000_000_000],
    ['Total: reserved=1MB, committed=1MB', MiB],
  ])('reads the scale of %j', (text, committedBytes) => {
    expect(parseNativeMemory(text)).toMatchObject({ committedBytes, categories: [] });
  });
});

describe('nativeMemoryIsOff', () => {
  it('is true of a JVM that does not track its memory, and of nothing else', () => {
    expect(fixtureNames.filter((name) => nativeMemoryIsOff(fixture(name)))).toEqual([
      'jdk17-native-memory-off.txt',
      'jdk25-native-memory-off.txt',
    ]);
  });
});
