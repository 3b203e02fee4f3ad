import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import type { Caller } from '../../lib/forwarder/callers.ts';
import { sensorRoute } from '../../lib/forwarder/sensor-route.ts';
import type { SensorReport } from '../../lib/signal/sensor-report.ts';

const agent: Caller & { outcome: 'known' } = {
  outcome: 'known',
  caller: {
    ...{ namespace: 'heapcatch', serviceAccountName: 'heapcatch-agent', nodeName: 'node-1' },
  },
};
const sample = { epochMilliseconds: 1, values: { heapAfterGcPercent: 5 } };
const report = {
  schemaVersion: 1,
  nodeName: 'node-1',
  containers: [{ podUid: 'uid-1', runtimeID: 'ab'.repeat(32), startTicks: '7', samples: [sample] }],
};

async function post(body: unknown, caller: Caller = agent) {
  const taken: SensorReport[] = [];
  const route = sensorRoute({
    callers: { of: () => Promise.resolve(caller) },
    watch: {
      take: (one) => {
        taken.push(one);
        return { takenCount: 1, unknownCount: 0, signalCount: 0, levels: [] };
      },
    },
  });
  const asking = { bearerToken: 'token', remoteAddress: '', clientCertified: false };
  const refused = await route.admit?.(asking);
  if (refused !== undefined) return { ...refused, taken, wasRead: false };
  const answer = await route.handle({
    ...asking,
    query: new URLSearchParams(),
    body: Buffer.from(typeof body === 'string' ? body : JSON.stringify(body)),
    signal: new AbortController().signal,
  });
  return { ...answer, taken, wasRead: true };
}

describe('POST /v1/sensor', () => {
  it('takes the report of a node agent', async () => {
    const { status, body, taken } = await post(report);

    expect([status, body]).toEqual([
      200,
      { takenCount: 1, unknownCount: 0, signalCount: 0, levels: [] },
    ]);
    expect(taken).toMatchObject([report]);
  });

  const another = { ...agent.caller, serviceAccountName: 'heapcatch-functions' };
  it.each<[string, Caller, number, boolean]>([
    ['whom the API server does not know', { outcome: 'refused' }, 401, false],
    ['whom the API server cannot be asked about now', { outcome: 'unknown' }, 503, false],
    ['who is another service account', { outcome: 'known', caller: another }, 403, false],
    [
      'who is an account of that name in another namespace',
      { outcome: 'known', caller: { ...agent.caller, namespace: 'shop' } },
      403,
      false,
    ],
    [
      'who is the agent of another node',
      { outcome: 'known', caller: { ...agent.caller, nodeName: 'node-2' } },
      403,
      true,
    ],
  ])('takes nothing of a caller %s', async (_name, caller, status, wasRead) => {
    const answer = await post(report, caller);

    expect(answer).toMatchObject({ status, wasRead });
    expect(answer.taken).toEqual([]);
  });

  const container = report.containers[0]!;
  const withContainer = (changes: object) => ({
    ...report,
    containers: [{ ...container, ...changes }],
  });
  it.each([
    ['no JSON', '{', 'sensor report'],
    ['another version', { ...report, schemaVersion: 2 }, 'schemaVersion'],
    ['a made-up id', withContainer({ runtimeID: '../..' }), 'runtimeID'],
    [
      'an unknown metric',
      withContainer({ samples: [{ ...sample, values: { x: 1 } }] }),
      'samples.0.values',
    ],
    ['no samples', withContainer({ samples: [] }), 'samples'],
    [
      'a negative value',
      withContainer({ samples: [{ ...sample, values: { fullGcCount: -1 } }] }),
      'fullGcCount',
    ],
    [
      'too many containers',
      { ...report, containers: Array.from({ length: 101 }, () => container) },
      'containers',
    ],
  ])('says what is wrong with %s', async (_name, body, field) => {
    const answer = await post(body);

    expect(answer.status).toBe(400);
    expect(JSON.stringify(answer.body)).toContain(field);
    expect(answer.taken).toEqual([]);
  });

  it('answers 200 or 400 to anything', async () => {
    await fc.assert(
      fc.asyncProperty(fc.oneof(fc.string(), fc.json()), async (text) => {
        expect([200, 400]).toContain((await post(text)).status);
      }),
      { numRuns: 200 },
    );
  });
});
