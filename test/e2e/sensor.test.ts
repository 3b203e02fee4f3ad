import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { type Environment, javaImage, startEnvironment } from './environment.ts';
import { victim } from './victim.ts';
import { expectWholeDump } from './whole-dump.ts';

let environment: Environment;

beforeAll(async () => {
  environment = await startEnvironment({ jdks: [17] });
  await environment.installNodeAgent({ sensor: true });
}, 600_000);
afterAll(async () => {
  await (environment as Environment | undefined)?.close();
}, 240_000);

describe('the sensor', () => {
  it('has the heap of a pod that slowly leaks saved before any probe fails', async () => {
    const name = 'leaky';
    await environment.kubectl.apply(
      victim({
        ...{ name, namespace: environment.namespace, image: javaImage(17) },
        heapMebibytes: 400,
        env: { MARKER: 'marker of leaky', FILL_MIB: '120', LEAK_MIB_PER_SECOND: '1' },
        // Well below the 85 % at which this application's probe begins to fail, three minutes later: a limit below what the agent
        // tells of at once is judged every 15 s.
        annotations: { 'heapcatch.dev/heap-near-limit': '40' },
        // Collects and marks early, so that what is left after a collection is known early.
        jvmOptions: [
          ...['-XX:+UseG1GC', '-Xmn32m'],
          ...['-XX:InitiatingHeapOccupancyPercent=30', '-XX:-G1UseAdaptiveIHOP'],
        ],
      }),
    );

    const entry = await environment.entryOf(name, 200);
    const events = await environment.events(entry.where.podName);
    const [pod] = await environment.pods(name);

    expect(entry).toMatchObject({
      state: 'complete',
      where: { podUid: pod!.metadata.uid, workload: { kind: 'Deployment', name } },
      why: { signalReason: 'HeapNearLimit', numbers: { restartCount: 0 } },
    });
    expect(entry.why.numbers['heapAfterGcPercent']).toBeGreaterThan(40);
    expect(entry.why.numbers['heapAfterGcPercent']).toBeLessThan(85);
    expect(events.filter(({ message }) => message.includes('Liveness probe failed'))).toEqual([]);
    await expectWholeDump(environment, entry, 'marker of leaky');
  }, 300_000);
});
