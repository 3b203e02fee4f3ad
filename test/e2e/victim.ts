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
  /** Memory; twice the heap and 256 MiB unless given. */
  limitMebibytes?: number;
  jvmOptions?: readonly string[];
  probe?: { periodSeconds: number; failureThreshold: number };
  preStopSleepSeconds?: number;
  gracePeriodSeconds?: number;
  /** Of the container, e.g. `1`; none unless given. */
  cpuLimit?: string;
  ephemeralStorageLimitMebibytes?: number;
  /** sizeLimit of the volume at /tmp. */
  tmpLimitMebibytes?: number;
  /** A shell script as the preStop hook, in place of a sleep. */
  preStopScript?: string;
  /** A folder of the node, mounted at /dumps. The restricted standard does not allow it. */
  nodeFolder?: string;
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
              ...lifecycleOf(options),
              resources: {
                requests: { cpu: '50m', memory: `${Math.min(heap + 64, limit)}Mi` },
                limits: limitsOf(options, limit),
              },
              securityContext: {
                allowPrivilegeEscalation: false,
                readOnlyRootFilesystem: true,
                capabilities: { drop: ['ALL'] },
              },
              volumeMounts: [
                { name: 'tmp', mountPath: '/tmp' },
                ...(options.nodeFolder === undefined
                  ? []
                  : [{ name: 'dumps', mountPath: '/dumps' }]),
              ],
            },
          ],
          volumes: [
            {
              name: 'tmp',
              emptyDir:
                options.tmpLimitMebibytes === undefined
                  ? {}
                  : { sizeLimit: `${options.tmpLimitMebibytes}Mi` },
            },
            ...(options.nodeFolder === undefined
              ? []
              : [{ name: 'dumps', hostPath: { path: options.nodeFolder, type: 'Directory' } }]),
          ],
        },
      },
    },
  };
}

function lifecycleOf({ preStopScript, preStopSleepSeconds }: VictimOptions): object {
  if (preStopScript !== undefined) {
    return { lifecycle: { preStop: { exec: { command: ['/bin/sh', '-c', preStopScript] } } } };
  }
  if (preStopSleepSeconds === undefined) return {};
  return { lifecycle: { preStop: { sleep: { seconds: preStopSleepSeconds } } } };
}

function limitsOf(options: VictimOptions, memoryMebibytes: number): Record<string, string> {
  const { cpuLimit, ephemeralStorageLimitMebibytes } = options;
  return {
    memory: `${memoryMebibytes}Mi`,
    ...(cpuLimit === undefined ? {} : { cpu: cpuLimit }),
    ...(ephemeralStorageLimitMebibytes === undefined
      ? {}
      : { 'ephemeral-storage': `${ephemeralStorageLimitMebibytes}Mi` }),
  };
}
