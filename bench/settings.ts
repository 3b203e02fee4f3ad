import { findJdks, type Jdk } from '../lib/local/jdks.ts';

export type HeapShape = 'objects' | 'arrays';
export const heapShapes: readonly HeapShape[] = ['objects', 'arrays'];

/** MiB of live heap: HEAPCATCH_BENCH_MIB, 1024 unless told, which is the size of the record. */
export function heapMebibytes(): number {
  return wholeNumber('HEAPCATCH_BENCH_MIB', 1024, 1, 65_536);
}

/** Alternating repeats: HEAPCATCH_BENCH_REPEATS, 5 unless told. */
export function repeatCount(): number {
  return wholeNumber('HEAPCATCH_BENCH_REPEATS', 5, 1, 1_000);
}

/** The JDKs to measure: HEAPCATCH_BENCH_JDKS, "17,25" unless told. @throws Error when one is not installed. */
export function benchJdks(accepted: readonly number[] = [17, 25]): readonly Jdk[] {
  const text = setting('HEAPCATCH_BENCH_JDKS', accepted.join(','));
  const asked = text.split(',').map(Number);
  return asked
    .filter((major) => accepted.includes(major))
    .map((major) => {
      const jdk = findJdks().find((candidate) => candidate.major === major);
      if (jdk === undefined) {
        throw new Error(`HEAPCATCH_BENCH_JDKS asks for JDK ${major}, which is not on this machine`);
      }
      return jdk;
    });
}

/** @throws Error that names the variable, its value and what is accepted. */
export function wholeNumber(name: string, fallback: number, min: number, max: number): number {
  const text = setting(name, String(fallback));
  const value = Number(text);
  if (Number.isInteger(value) && value >= min && value <= max) return value;
  throw new Error(
    `${name} is ${JSON.stringify(text)}; accepted are whole numbers of ${min} to ${max}`,
  );
}

export function setting(name: string, fallback: string): string {
  const text = process.env[name];
  return text === undefined || text === '' ? fallback : text;
}

/** A line for whoever watches; results alone go to stdout. */
export function say(text: string): void {
  process.stderr.write(`bench: ${text}\n`);
}
