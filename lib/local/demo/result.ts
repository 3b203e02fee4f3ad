import type { ObjectStore } from '../../capture/ports.ts';
import { objectKeys } from '../../dump-index/object-keys.ts';
import { messageOf } from '../../errors.ts';
import { parseClassHistogram } from '../../jvm/diagnostic-replies.ts';
import { checkStoredDump } from '../dump-check.ts';
import type { DemoCapture } from './follow.ts';
import { markerClass } from './workloads.ts';

const shownClassCount = 8;
const mebibyte = 1024 * 1024;

/**
 * Shows the index entry and the top of the class histogram, then reads the dump back and verifies it.
 * @returns whether everything holds.
 */
export async function showResult(options: {
  objects: ObjectStore;
  capture: DemoCapture;
  markerText: string;
  write: (text: string) => void;
}): Promise<boolean> {
  const { objects, capture, markerText, write } = options;
  const { entry, entryKey } = capture;
  write(`\nindex entry ${entryKey}\n${JSON.stringify(entry, null, 2)}\n`);
  const histogram = await objects.getObject(
    objectKeys(entry.objects.prefix).evidence('classHistogram'),
    { maxBytes: 16 * mebibyte },
  );
  if (histogram !== undefined) {
    write('\ntop classes, taken before the dump\n');
    const { rows } = parseClassHistogram(Buffer.from(histogram).toString('utf8'), shownClassCount);
    for (const { instances, bytes, className } of rows) {
      const size = `${(bytes / mebibyte).toFixed(1)} MiB`;
      write(`${String(instances).padStart(10)} ${size.padStart(10)}  ${className}\n`);
    }
  }
  write('\nthe dump, read back from the bucket\n');
  const checks = await verify(options.objects, capture, markerText);
  for (const [what, holds] of checks) write(`  ${holds ? 'yes' : 'NO '}  ${what}\n`);
  return checks.every(([, holds]) => holds);
}

async function verify(
  objects: ObjectStore,
  { entry }: DemoCapture,
  markerText: string,
): Promise<[string, boolean][]> {
  try {
    const check = await checkStoredDump(objects, entry, { markerClass, markerText });
    const size = `${(check.rawBytes / mebibyte).toFixed(1)} MiB, ${check.instanceCount} instances of ${check.classCount} classes`;
    return [
      [`index state complete (${entry.state})`, entry.state === 'complete'],
      ['stored bytes have the checksums of manifest and index', check.checksumMatches],
      [`record chain unbroken up to the end record (${size})`, check.chain === 'ended'],
      [`one instance of ${markerClass}`, check.markerInstances === 1],
      [`its text "${markerText}"`, check.markerTextFound],
    ];
  } catch (error) {
    return [[`readable: ${messageOf(error)}`, false]];
  }
}
