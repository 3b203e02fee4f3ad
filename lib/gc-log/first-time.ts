import { readStamps } from './legacy-stamps.ts';
import { messageStart, readDecoratorTimes, type LineTime } from './unified-line.ts';

/** The first times that a log tells, for putting files in order. Both absent where the bytes tell none. */
export function firstTime(head: Buffer): LineTime {
  let start = 0;
  while (start < head.length) {
    const found = head.indexOf(10, start);
    const end = found < 0 ? head.length : found;
    const message = messageStart(head, start, end);
    const time =
      message >= 0 ? readDecoratorTimes(head, start, message) : readStamps(head, start, end).time;
    if (time.epochMilliseconds !== undefined || time.uptimeSeconds !== undefined) return time;
    start = end + 1;
  }
  return { uptimeSeconds: undefined, epochMilliseconds: undefined };
}
