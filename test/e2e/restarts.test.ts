import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import path from 'node:path';
import type { IndexEntry } from '../../lib/dump-index/index-entry.ts';
import { type Environment, javaImage, startEnvironment } from './environment.ts';
import { eventually } from './shell.ts';
import { victim, victimPort, type VictimOptions } from './victim.ts';

const previousLogAccess = path.resolve(
  import.meta.dirname,
  '../../infra/kubernetes/components/previous-log/access.yaml',
);
let environment: Environment;

beforeAll(async () => {
  environment = await startEnvironment({ jdks: [17] });
  await environment.kubectl.run(['apply', '-f', previousLogAccess]);
}, 600_000);
afterAll(async () => {
  const started = environment as Environment | undefined;
  await started?.kubectl.run(['delete', '-f', previousLogAccess, '--ignore-not-found']);
  await started?.close();
}, 240_000);

interface Workload {
  spec: {
    template: { spec: { volumes: unknown[]; containers: { volumeMounts: unknown[] }[] } };
  };
}

/** Deploys a pod whose probe forgives much, and gives the name of it. */
async function running(
  options: Omit<VictimOptions, 'namespace' | 'image'>,
  change: (workload: Workload) => void = () => undefined,
): Promise<string> {
  const { namespace } = environment;
  const probe = { periodSeconds: 3, failureThreshold: 60 };
  const workload = victim({ image: javaImage(17), namespace, probe, ...options }) as Workload;
  change(workload);
  await environment.kubectl.apply(workload);
  const [pod] = await environment.readyPods(options.name, 1);
  return pod!.metadata.name;
}

/** What is asked for can end the JVM before it has answered. */
const ask = (podName: string, request: string): Promise<unknown> =>
  environment.kubectl
    .getFromPod(environment.namespace, podName, victimPort, request)
    .catch(() => undefined);

async function textsOf(entry: IndexEntry): Promise<Map<string, string>> {
  const texts = new Map<string, string>();
  for (const { artifact, objectKey } of entry.objects.evidence) {
    const body = await environment.objects.getObject(objectKey, { maxBytes: 16 << 20 });
    texts.set(artifact, Buffer.from(body!).toString('utf8'));
  }
  return texts;
}

describe('after the end of a life', () => {
  it('tells of a container that the kernel killed, and watches its next life', async () => {
    const name = 'outgrown';
    const podName = await running({
      name,
      limitMebibytes: 320,
      jvmOptions: ['-XX:MaxDirectMemorySize=2g', '-Xlog:gc*:file=/tmp/gc.log'],
    });

    await ask(podName, '/direct');
    const entry = await environment.entryOf(name, 120);

    expect(entry).toMatchObject({
      state: 'evidence-only',
      reason: expect.stringMatching(/^NoHeapDumpLeft: the kernel killed it/),
      why: {
        signalReason: 'ContainerTerminated',
        termination: { reason: 'OOMKilled', exitCode: 137 },
        ending: { cause: 'containerMemory' },
      },
      how: { source: 'leftover' },
    });
    const texts = await textsOf(entry);
    // The next life has begun a log of its own by the same name; the JVM has set the old one aside.
    expect(texts.get('gcLog')).toMatch(/\[gc/);
    expect(texts.get('previousLog')).toContain('listening');

    await environment.readyPods(name, 1);
    await ask(podName, '/fail');
    const next = await eventually('an entry of the next life', 90, async () =>
      (await environment.entriesOf(name)).find(
        ({ why }) => why.signalReason === 'LivenessProbeFailing',
      ),
    );
    expect(next.why).toMatchObject({
      numbers: { failureCount: 1 },
      watch: { cause: 'containerMemory', untilTime: expect.any(String) },
    });
  }, 300_000);

  it('keeps the crash log of a JVM that crashed', async () => {
    const name = 'crashed';
    const podName = await running({ name });

    await environment.kubectl.run([
      ...['exec', podName, '-n', environment.namespace, '-c', 'app', '--'],
      ...['sh', '-c', 'kill -SEGV 1'],
    ]);
    const entry = await environment.entryOf(name, 120);

    expect(entry).toMatchObject({
      state: 'evidence-only',
      why: {
        ending: { cause: 'jvmCrash' },
        crash: { kind: 'signal', cause: expect.stringContaining('SIGSEGV') },
      },
    });
    expect((await textsOf(entry)).get('crashLog')).toContain('Problematic frame');
  }, 240_000);

  it('says that the heap was exhausted, beside the dump that it left', async () => {
    const name = 'exhausted';
    const podName = await running({
      name,
      jvmOptions: [
        ...['-XX:+HeapDumpOnOutOfMemoryError', '-XX:+ExitOnOutOfMemoryError'],
        '-XX:HeapDumpPath=/tmp',
      ],
    });

    await ask(podName, '/exhaust');
    const entry = await environment.entryOf(name, 120);

    expect(entry).toMatchObject({
      state: 'complete',
      why: {
        ending: { cause: 'heap', explanation: expect.stringContaining('it left a heap dump') },
      },
      how: { leftover: { path: '/tmp/java_pid1.hprof' } },
    });
    expect((await textsOf(entry)).get('previousLog')).toContain('OutOfMemoryError');
  }, 240_000);

  it('puts on record what had no volume, with the tail of its output', async () => {
    const name = 'bare';
    const podName = await running(
      { name, limitMebibytes: 300, jvmOptions: ['-XX:MaxDirectMemorySize=2g'] },
      ({ spec }) => {
        spec.template.spec.volumes = [];
        for (const container of spec.template.spec.containers) container.volumeMounts = [];
      },
    );

    await ask(podName, '/direct');
    const entry = await environment.entryOf(name, 120);

    expect(entry).toMatchObject({
      state: 'evidence-only',
      why: { ending: { cause: 'containerMemory' } },
      objects: { evidence: [{ artifact: 'previousLog' }] },
    });
    expect(entry.how.rung).toBeUndefined();
  }, 240_000);

  it('puts on record why a pod was evicted', async () => {
    const name = 'evicted';
    const podName = await running({ name, tmpLimitMebibytes: 20 });

    await ask(podName, '/fill?100');
    const entry = await environment.entryOf(name, 180);

    expect(entry.why).toMatchObject({
      ending: { cause: 'eviction', explanation: expect.stringContaining('exceeds the limit') },
    });
  }, 300_000);
});
