import { createReadStream, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { createGunzip } from 'node:zlib';
import { ByteMatcher } from '../../lib/hprof/byte-matcher.ts';
import { HeapScan } from '../../lib/hprof/scan.ts';
import { checkStoredDump } from '../../lib/local/dump-check.ts';
import type { Environment } from '../../test/e2e/environment.ts';
import { eventually } from '../../test/e2e/shell.ts';

/** Seconds from the kill in which a dump must be where it counts. */
export const savedWithinSeconds = 60;
const markerClass = 'LeakingApplication$Marker';

export interface Dead {
  readonly podUid: string;
  readonly podName: string;
  readonly workload: string;
  readonly marker: string;
  readonly killMillis: number;
}

/** Whether it is saved, and why not. */
export type Verdict = 'saved' | { readonly lost: string };

/** heapcatch: complete, indexed in time, the record chain unbroken, with the application's marker object. */
export async function judgeCapture(environment: Environment, dead: Dead): Promise<Verdict> {
  const secondsLeft = (dead.killMillis - Date.now()) / 1_000 + savedWithinSeconds;
  const entry = await eventually('index entry', Math.max(1, secondsLeft), async () =>
    (await environment.entriesOf(dead.workload)).find(({ where }) => where.podUid === dead.podUid),
  ).catch(() => undefined);
  if (entry === undefined) {
    const events = await environment.events(dead.podName).catch(() => []);
    const ours = events.filter(({ reason }) => /HeapDump|Capture/.test(reason)).at(-1);
    return { lost: ours === undefined ? 'no index entry' : `${ours.reason}: ${ours.message}` };
  }
  if (entry.state !== 'complete') return { lost: `${entry.state}: ${entry.reason ?? ''}` };
  if (Date.parse(entry.when.sealTime) > dead.killMillis + savedWithinSeconds * 1_000) {
    return { lost: `indexed more than ${savedWithinSeconds} s after the kill` };
  }
  const check = await checkStoredDump(environment.objects, entry, {
    markerClass,
    markerText: dead.marker,
  });
  if (check.chain !== 'ended') return { lost: 'the record chain is broken' };
  return check.markerTextFound && check.markerInstances === 1 ? 'saved' : { lost: 'no marker' };
}

/** A baseline: a whole dump with this pod's marker in the node's folder. */
export async function judgeFolder(folder: string, dead: Dead): Promise<Verdict> {
  const names = readdirSync(folder).filter((name) => /\.hprof(\.gz)?$/.test(name));
  for (const name of names) {
    const path = join(folder, name);
    if (statSync(path).mtimeMs > dead.killMillis + savedWithinSeconds * 1_000) continue;
    if (await holdsMarker(path, dead.marker).catch(() => false)) return 'saved';
  }
  return { lost: names.length === 0 ? 'no dump file' : 'no whole dump of this pod' };
}

async function holdsMarker(path: string, marker: string): Promise<boolean> {
  const scan = new HeapScan();
  const text = new ByteMatcher(Buffer.from(marker, 'latin1'));
  const look = async (chunks: AsyncIterable<Buffer>): Promise<void> => {
    for await (const chunk of chunks) {
      scan.push(chunk);
      text.push(chunk);
    }
  };
  if (path.endsWith('.gz')) await pipeline(createReadStream(path), createGunzip(), look);
  else await look(createReadStream(path));
  return text.found && scan.finish().chain.ended;
}
