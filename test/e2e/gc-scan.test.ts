import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { type Environment, image, javaImage, startEnvironment } from './environment.ts';
import { victim, victimPort } from './victim.ts';
import { expectWholeDump } from './whole-dump.ts';

const name = 'stormy';
let environment: Environment;

beforeAll(async () => {
  environment = await startEnvironment({ jdks: [17] });
}, 600_000);
afterAll(async () => {
  await (environment as Environment | undefined)?.close();
}, 240_000);

interface Workload {
  spec: { template: { spec: { initContainers?: unknown[] } } };
}

/** The sidecar of docs/ways/gc-scan.md, with keys of the local AWS in place of the pod's own identity. */
function sidecar(): unknown {
  const { clusterName, busName, endpoint } = environment.settings();
  const field = (variable: string, fieldPath: string): unknown => ({
    name: variable,
    valueFrom: { fieldRef: { fieldPath } },
  });
  const values = {
    HEAPCATCH_CLUSTER_NAME: clusterName,
    HEAPCATCH_EVENT_BUS_NAME: busName,
    AWS_REGION: 'us-east-1',
    AWS_ENDPOINT_URL: endpoint,
    AWS_ACCESS_KEY_ID: 'test',
    AWS_SECRET_ACCESS_KEY: 'test',
  };
  return {
    name: 'gc-scan',
    image,
    imagePullPolicy: 'Never',
    restartPolicy: 'Always',
    command: ['/heapcatch/gc-scan', '-f', '/tmp/gc.log', '--signal', '--container', 'app'],
    env: [
      ...Object.entries(values).map(([variable, value]) => ({ name: variable, value })),
      field('POD_NAMESPACE', 'metadata.namespace'),
      field('POD_NAME', 'metadata.name'),
      field('POD_UID', 'metadata.uid'),
    ],
    resources: { limits: { memory: '160Mi' } },
    securityContext: {
      allowPrivilegeEscalation: false,
      readOnlyRootFilesystem: true,
      capabilities: { drop: ['ALL'] },
    },
    volumeMounts: [{ name: 'tmp', mountPath: '/tmp', readOnly: true }],
  };
}

describe('gc-scan as a sidecar', () => {
  it('has the heap of a pod saved while full collections follow each other, before any probe fails', async () => {
    const workload = victim({
      name,
      namespace: environment.namespace,
      image: javaImage(17),
      env: { MARKER: 'marker of stormy' },
      annotations: { 'heapcatch.dev/liveness-failures': '100' },
      probe: { periodSeconds: 10, failureThreshold: 60 },
      jvmOptions: ['-XX:+UseParallelGC', '-Xlog:gc:file=/tmp/gc.log:time,uptime,level,tags'],
    }) as Workload;
    workload.spec.template.spec.initContainers = [sidecar()];
    await environment.kubectl.apply(workload);
    const [pod] = await environment.readyPods(name, 1);

    await environment.kubectl.getFromPod(
      ...([environment.namespace, pod!.metadata.name, victimPort, '/storm'] as const),
    );
    const entry = await environment.entryOf(name, 120);

    expect(entry).toMatchObject({
      state: 'complete',
      where: { podUid: pod!.metadata.uid, workload: { kind: 'Deployment', name } },
      why: { signalReason: 'GcLimitCrossed' },
    });
    await expectWholeDump(environment, entry, 'marker of stormy');
  }, 300_000);
});
