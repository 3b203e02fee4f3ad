/** Where a pod's application finds its port. */
export const victimPort = 8080;

export interface VictimOptions {
  name: string;
  namespace: string;
  image: string;
  replicas?: number;
  kind?: 'Deployment' | 'StatefulSet';
  annotations?: Record<string, string>;
  env?: Record<string, string>;
  heapMebibytes?: number;
  /** In place of twice the heap and 256. */
  limitMebibytes?: number;
  jvmOptions?: readonly string[];
  probe?: { periodSeconds: number; failureThreshold: number };
  preStopSleepSeconds?: number;
  gracePeriodSeconds?: number;
}

/** A workload of leaking JVMs under the restricted Pod Security Standard: non-root, read-only root, /tmp on a volume. */
export function victim(options: VictimOptions): unknown {
  const labels = { app: options.name };
  const heap = options.heapMebibytes ?? 128;
  const limit = options.limitMebibytes ?? heap * 2 + 256;
  const kind = options.kind ?? 'Deployment';
  return {
    apiVersion: 'apps/v1',
    kind,
    metadata: { name: options.name, namespace: options.namespace },
    spec: {
      replicas: options.replicas ?? 1,
      selector: { matchLabels: labels },
      ...(kind === 'StatefulSet' ? { serviceName: options.name } : {}),
      template: {
        metadata: { labels, annotations: options.annotations ?? {} },
        spec: {
          automountServiceAccountToken: false,
          terminationGracePeriodSeconds: options.gracePeriodSeconds ?? 30,
          securityContext: {
            runAsNonRoot: true,
            runAsUser: 1000,
            runAsGroup: 1000,
            fsGroup: 1000,
            seccompProfile: { type: 'RuntimeDefault' },
          },
          containers: [
            {
              name: 'app',
              image: options.image,
              imagePullPolicy: 'Never',
              command: [
                '/opt/java/bin/java',
                `-Xmx${heap}m`,
                ...(options.jvmOptions ?? []),
                '-cp',
                '/app',
                'LeakingApplication',
              ],
              env: Object.entries(options.env ?? {}).map(([name, value]) => ({ name, value })),
              ports: [{ containerPort: victimPort }],
              readinessProbe: {
                httpGet: { path: '/used', port: victimPort },
                periodSeconds: 1,
                timeoutSeconds: 2,
              },
              livenessProbe: {
                httpGet: { path: '/healthz', port: victimPort },
                initialDelaySeconds: 2,
                periodSeconds: options.probe?.periodSeconds ?? 3,
                failureThreshold: options.probe?.failureThreshold ?? 3,
                timeoutSeconds: 2,
              },
              ...(options.preStopSleepSeconds === undefined
                ? {}
                : { lifecycle: { preStop: { sleep: { seconds: options.preStopSleepSeconds } } } }),
              resources: {
                requests: { cpu: '50m', memory: `${Math.min(heap + 64, limit)}Mi` },
                limits: { memory: `${limit}Mi` },
              },
              securityContext: {
                allowPrivilegeEscalation: false,
                readOnlyRootFilesystem: true,
                capabilities: { drop: ['ALL'] },
              },
              volumeMounts: [{ name: 'tmp', mountPath: '/tmp' }],
            },
          ],
          volumes: [{ name: 'tmp', emptyDir: {} }],
        },
      },
    },
  };
}
