import type { Jdk } from '../jdks.ts';

export const demoNamespace = 'shop';
export const agentNamespace = 'heapcatch';
export const workloadName = 'cart';
export const applicationPort = 8080;
export const markerClass = 'LeakingApplication$Marker';

const project = new URL('../../../', import.meta.url).pathname;

/** Images of the local cluster: what runs on this machine in their place. */
export function demoImages(jdk: Jdk, classes: string): Record<string, readonly string[]> {
  return {
    'shop/cart': [`${jdk.home}/bin/java`, '-Xmx96m', '-cp', classes, 'LeakingApplication'],
    heapcatch: [process.execPath, `${project}lib/agent/main.ts`],
  };
}

/** `/heapcatch/agent`, as exec asks for it in the agent's pod. */
export function demoPrograms(): Record<string, readonly string[]> {
  return { '/heapcatch/agent': [process.execPath, `${project}lib/agent/main.ts`] };
}

/** The node agent, as infra/kubernetes has it for a DaemonSet. */
export function agentPod(socketPath: string): unknown {
  return {
    metadata: { name: 'heapcatch-agent', labels: { 'app.kubernetes.io/name': 'heapcatch-agent' } },
    spec: {
      containers: [
        {
          name: 'agent',
          image: 'heapcatch',
          command: ['/heapcatch/agent', 'serve'],
          env: [{ name: 'HEAPCATCH_SOCKET', value: socketPath }],
        },
      ],
    },
  };
}

/** Three replicas of a service with a liveness probe, as a team would write it. */
export function cartDeployment(markerText: string): unknown {
  const labels = { app: workloadName };
  return {
    metadata: { name: workloadName },
    spec: {
      replicas: 3,
      selector: { matchLabels: labels },
      template: {
        metadata: { labels },
        spec: {
          terminationGracePeriodSeconds: 20,
          containers: [
            {
              name: 'app',
              image: 'shop/cart',
              env: [
                { name: 'LISTEN_ADDRESS', valueFrom: { fieldRef: { fieldPath: 'status.podIP' } } },
                { name: 'LISTEN_PORT', value: String(applicationPort) },
                { name: 'MARKER', value: markerText },
                { name: 'FILL_MIB', value: '24' },
              ],
              readinessProbe: {
                httpGet: { path: '/used', port: applicationPort },
                periodSeconds: 1,
                timeoutSeconds: 2,
              },
              resources: { limits: { memory: '192Mi' } },
              livenessProbe: {
                httpGet: { path: '/healthz', port: applicationPort },
                initialDelaySeconds: 1,
                periodSeconds: 2,
                timeoutSeconds: 2,
                failureThreshold: 3,
              },
            },
          ],
        },
      },
    },
  };
}
