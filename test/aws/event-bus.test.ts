import { afterEach, describe, expect, it } from '@jest/globals';
import { createEventBridgeSignalBus } from '../../lib/aws/event-bus.ts';
import { signalSchema, type Signal } from '../../lib/signal/signal.ts';
import { startJsonService, type JsonService, type ServiceReply } from './json-service.ts';

const signal = (podName: string, more: Partial<Signal> = {}): Signal => ({
  ...signalSchema.parse({
    schemaVersion: 1,
    clusterName: 'prod',
    namespace: 'shop',
    podName,
    podUid: 'b7f1',
    reason: 'LivenessProbeFailing',
    observedTime: '2026-03-01T10:00:00.500Z',
  }),
  ...more,
});
const taken = { EventId: '11710aed-b79e-4468-a20b-bb3c0c3b4860' };

describe('EventBridge signal bus', () => {
  let service: JsonService | undefined;
  const busThatAnswers = async (...replies: ServiceReply[]) => {
    service = await startJsonService(...replies);
    return createEventBridgeSignalBus({ busName: 'heapcatch', ...service.place });
  };
  afterEach(() => service?.close());

  it('sends each signal as an event of the time at which it was observed', async () => {
    const bus = await busThatAnswers({ body: { FailedEntryCount: 0, Entries: [taken] } });

    expect(await bus.putSignals([signal('cart-1')])).toEqual([]);

    expect(service?.requests).toEqual([
      {
        target: 'AWSEvents.PutEvents',
        body: {
          Entries: [
            {
              EventBusName: 'heapcatch',
              Source: 'heapcatch',
              DetailType: 'heapcatch Signal',
              Time: Date.parse('2026-03-01T10:00:00.500Z') / 1000,
              Detail: JSON.stringify(signal('cart-1')),
            },
          ],
        },
      },
    ]);
  });

  it('names the entries that were refused within a call that succeeded', async () => {
    const refused = { ErrorCode: 'ThrottlingException', ErrorMessage: 'Rate exceeded' };
    const bus = await busThatAnswers({
      body: { FailedEntryCount: 1, Entries: [taken, refused, taken] },
    });

    const refusals = await bus.putSignals(['a', 'b', 'c'].map((name) => signal(name)));

    expect(refusals).toEqual([
      { index: 1, errorCode: 'ThrottlingException', errorMessage: 'Rate exceeded' },
    ]);
  });

  it('counts an entry without an event id as refused', async () => {
    const bus = await busThatAnswers({ body: { FailedEntryCount: 0, Entries: [taken] } });

    const refusals = await bus.putSignals([signal('a'), signal('b')]);

    expect(refusals.map(({ index }) => index)).toEqual([1]);
  });

  it('refuses a signal that no event can hold, and sends the others', async () => {
    const huge = { ...signal('b'), containerName: 'x'.repeat(256 * 1024) };
    const bus = await busThatAnswers({
      body: { FailedEntryCount: 1, Entries: [taken, { ErrorCode: 'InternalFailure' }] },
    });

    const refusals = await bus.putSignals([signal('a'), huge, signal('c')]);

    expect(refusals.map(({ index, errorCode }) => [index, errorCode])).toEqual([
      [1, 'InvalidArgument'],
      [2, 'InternalFailure'],
    ]);
    expect(service?.requests[0]?.body['Entries']).toHaveLength(2);
  });

  it('leaves for later what does not fit into one call', async () => {
    const large = (name: string) => signal(name, { containerName: 'x'.repeat(200 * 1024) });
    const bus = await busThatAnswers({ body: { FailedEntryCount: 0, Entries: [taken] } });

    const refusals = await bus.putSignals([large('a'), large('b')]);

    expect(refusals.map(({ index, errorCode }) => [index, errorCode])).toEqual([
      [1, 'RequestTooLarge'],
    ]);
  });

  it('sends nothing where there is nothing to send', async () => {
    const bus = await busThatAnswers({ body: {} });

    expect(await bus.putSignals([])).toEqual([]);

    expect(service?.requests).toEqual([]);
  });

  it('refuses more than ten signals at once', async () => {
    const bus = await busThatAnswers({ body: {} });

    const put = bus.putSignals(Array.from({ length: 11 }, () => signal('a')));

    await expect(put).rejects.toMatchObject({
      code: 'InvalidSignal',
      message: '11 signals at once: accepted are at most 10',
    });
  });

  it('gets over a fault of the service, and is retryable when it stays', async () => {
    const fault = { status: 500, body: { __type: 'InternalException' } };
    const bus = await busThatAnswers(fault, fault, { body: { Entries: [taken] } }, fault);

    expect(await bus.putSignals([signal('a')])).toEqual([]);

    await expect(bus.putSignals([signal('a')])).rejects.toMatchObject({
      code: 'SignalBusUnavailable',
      retryable: true,
    });
  });

  it('is not retryable when it is forbidden, and names the bus and the missing right', async () => {
    const bus = await busThatAnswers({
      status: 400,
      body: { __type: 'AccessDeniedException', message: 'not authorized' },
    });

    const put = bus.putSignals([signal('a')]);

    await expect(put).rejects.toMatchObject({ code: 'SignalBusUnavailable', retryable: false });
    await expect(put).rejects.toThrow(
      'bus heapcatch did not take 1 signals: AccessDeniedException: not authorized; the sender needs events:PutEvents on it',
    );
  });
});
