import { readFileSync } from 'node:fs';
import path from 'node:path';
import type { GcEvent } from '../../lib/gc-log/gc-event.ts';
import { GcLogParser } from '../../lib/gc-log/gc-log-parser.ts';

export function fixture(name: string): Buffer {
  return readFileSync(path.join(import.meta.dirname, 'fixtures', name));
}

/** All events of a log, and the parser for what else it says. */
export function readLog(log: string | Buffer): { events: GcEvent[]; parser: GcLogParser } {
  const events: GcEvent[] = [];
  const parser = new GcLogParser((event) => events.push(event));
  parser.push(typeof log === 'string' ? Buffer.from(log) : log);
  parser.end();
  return { events, parser };
}

/** The one event of a log. @throws Error when it has another number of them. */
export function onlyEvent(log: string): GcEvent {
  const { events } = readLog(log);
  const [event] = events;
  if (event === undefined || events.length > 1)
    throw new Error(`${events.length} events in ${log}`);
  return event;
}

export function countsOf(events: readonly GcEvent[]): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const { kind } of events) counts[kind] = (counts[kind] ?? 0) + 1;
  return counts;
}

export const mebi = 1024 * 1024;
