import {
  EventBridgeClient,
  PutEventsCommand,
  type PutEventsRequestEntry,
} from '@aws-sdk/client-eventbridge';
import { CaptureError } from '../errors.ts';
import { signalDetailType, signalEventSource, type SignalBus } from '../signal/signal-bus.ts';
import type { Signal } from '../signal/signal.ts';
import { serviceFaultOf } from './service-fault.ts';
import { boundedCalls } from './bounded-calls.ts';

// https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_PutEvents.html
const maxEntryCount = 10;
/** The limit that all regions have had; where it is a megabyte by now, a Signal still needs a few KiB. */
const maxRequestBytes = 256 * 1024;

type Refusal = Awaited<ReturnType<SignalBus['putSignals']>>[number];

/**
 * The bus in EventBridge. A call ends within 14 s: three attempts of 4 s. An attempt whose reply was lost may have
 * arrived, so that a signal can come twice.
 * A signal over 256 KiB is refused by its index (`InvalidArgument`, as EventBridge says of it); one that only does not
 * fit beside the others is too (`RequestTooLarge`), and fits into another call.
 * @throws CaptureError SignalBusUnavailable: retryable but for answers that stay the same, such as AccessDenied;
 *   InvalidSignal for over 10 signals.
 */
export function createEventBridgeSignalBus(options: {
  busName: string;
  region?: string;
  endpoint?: string;
  credentials?: { accessKeyId: string; secretAccessKey: string; sessionToken?: string };
}): SignalBus {
  const { busName, ...place } = options;
  const client = new EventBridgeClient({
    ...place,
    ...boundedCalls({ connectionTimeout: 1_900, requestTimeout: 4_000, attemptCount: 3 }),
  });
  return {
    async putSignals(signals) {
      if (signals.length > maxEntryCount) {
        const accepted = `accepted are at most ${maxEntryCount}`;
        throw new CaptureError('InvalidSignal', `${signals.length} signals at once: ${accepted}`);
      }
      const { sent, refusals } = fit(signals.map((signal) => entryOf(busName, signal)));
      if (sent.length === 0) return refusals;
      return [...refusals, ...(await put(client, busName, sent))].sort(
        (one, other) => one.index - other.index,
      );
    },
  };
}

interface IndexedEntry {
  index: number;
  entry: PutEventsRequestEntry;
}

function entryOf(busName: string, signal: Signal): PutEventsRequestEntry {
  return {
    EventBusName: busName,
    Source: signalEventSource,
    DetailType: signalDetailType,
    Time: new Date(signal.observedTime),
    Detail: JSON.stringify(signal),
  };
}

/** https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-putevent-size.html */
function entryBytes({ Source, DetailType, Detail }: PutEventsRequestEntry): number {
  const timeBytes = 14;
  return [Source, DetailType, Detail].reduce(
    (bytes, text) => bytes + Buffer.byteLength(text ?? ''),
    timeBytes,
  );
}

function fit(entries: readonly PutEventsRequestEntry[]): {
  sent: IndexedEntry[];
  refusals: Refusal[];
} {
  const sent: IndexedEntry[] = [];
  const refusals: Refusal[] = [];
  let requestBytes = 0;
  for (const [index, entry] of entries.entries()) {
    const bytes = entryBytes(entry);
    if (requestBytes + bytes < maxRequestBytes) {
      requestBytes += bytes;
      sent.push({ index, entry });
      continue;
    }
    refusals.push({
      index,
      errorCode: bytes < maxRequestBytes ? 'RequestTooLarge' : 'InvalidArgument',
      errorMessage: `an entry of ${bytes} bytes beside ${requestBytes}; accepted are less than ${maxRequestBytes}`,
    });
  }
  return { sent, refusals };
}

async function put(
  client: EventBridgeClient,
  busName: string,
  sent: readonly IndexedEntry[],
): Promise<Refusal[]> {
  try {
    const reply = await client.send(new PutEventsCommand({ Entries: sent.map((it) => it.entry) }));
    const results = reply.Entries ?? [];
    const refusals = sent.flatMap(({ index }, position): Refusal[] => {
      const result = results[position];
      // An entry has arrived only when it was given an id.
      if (result?.EventId !== undefined && result.ErrorCode === undefined) return [];
      const { ErrorCode = 'InternalFailure', ErrorMessage = 'no event id' } = result ?? {};
      return [{ index, errorCode: ErrorCode, errorMessage: ErrorMessage.slice(0, 500) }];
    });
    return refusals;
  } catch (error) {
    const { code, message, denied, retryable } = serviceFaultOf(error);
    const advice = denied ? '; the sender needs events:PutEvents on it' : '';
    throw new CaptureError(
      'SignalBusUnavailable',
      `bus ${busName} did not take ${sent.length} signals: ${code}: ${message}${advice}`,
      { retryable, cause: error },
    );
  }
}
