import { createHash } from 'node:crypto';

/** A pod as a Deployment with a sidecar has it once the API has filled in its defaults: some 11 KB of JSON with its status. */
export function madeUpPod(name: string, owner: { name: string; uid: string }): object {
  const labels = {
    app: 'cart',
    'app.kubernetes.io/name': 'cart',
    'app.kubernetes.io/instance': 'cart-production',
    'app.kubernetes.io/version': '4.17.2',
    'app.kubernetes.io/part-of': 'shop',
    'pod-template-hash': '7f9c4d8b6d',
    team: 'checkout',
  };
  return {
    metadata: {
      name,
      labels,
      annotations: {
        'prometheus.io/scrape': 'true',
        'prometheus.io/port': '8081',
        'prometheus.io/path': '/actuator/prometheus',
        'kubectl.kubernetes.io/restartedAt': '2026-11-20T08:15:30Z',
        'checksum/config': '2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae',
        'heapcatch.dev/owner': 'checkout',
      },
      ownerReferences: [
        {
          apiVersion: 'v1',
          kind: 'ConfigMap',
          ...owner,
          controller: true,
          blockOwnerDeletion: true,
        },
      ],
    },
    spec: {
      // Nobody schedules it, so that no kubelet runs it and nothing collects it as an orphan of its node.
      schedulerName: 'none',
      serviceAccountName: 'default',
      terminationGracePeriodSeconds: 45,
      securityContext: { runAsUser: 10_001, runAsGroup: 10_001, fsGroup: 10_001 },
      topologySpreadConstraints: [
        {
          maxSkew: 1,
          topologyKey: 'topology.kubernetes.io/zone',
          whenUnsatisfiable: 'ScheduleAnyway',
          labelSelector: { matchLabels: { app: 'cart' } },
        },
      ],
      volumes: [
        { name: 'tmp', emptyDir: { sizeLimit: '2Gi' } },
        { name: 'config', configMap: { name: 'cart-config' } },
      ],
      containers: [application(), sidecar()],
    },
  };
}

function probe(path: string, port: number, failureThreshold: number): object {
  return {
    httpGet: { path, port, scheme: 'HTTP' },
    periodSeconds: 10,
    timeoutSeconds: 2,
    failureThreshold,
  };
}

function application(): object {
  const settings = Array.from({ length: 10 }, (_, index) => ({
    name: `CART_SETTING_${index}`,
    value: `https://service-${index}.shop.svc.cluster.local:8443/api/v2`,
  }));
  return {
    name: 'app',
    image: 'registry.example.com/shop/cart:4.17.2',
    ports: [
      { name: 'http', containerPort: 8080 },
      { name: 'management', containerPort: 8081 },
    ],
    env: [
      { name: 'JAVA_TOOL_OPTIONS', value: '-XX:MaxRAMPercentage=75 -XX:+UseG1GC -Xlog:gc*:stdout' },
      { name: 'POD_NAME', valueFrom: { fieldRef: { fieldPath: 'metadata.name' } } },
      { name: 'DB_PASSWORD', valueFrom: { secretKeyRef: { name: 'cart-db', key: 'password' } } },
      ...settings,
    ],
    resources: {
      requests: { cpu: '500m', memory: '2Gi' },
      limits: { memory: '2Gi', 'ephemeral-storage': '4Gi' },
    },
    livenessProbe: probe('/actuator/health/liveness', 8081, 3),
    readinessProbe: probe('/actuator/health/readiness', 8081, 3),
    startupProbe: probe('/actuator/health/liveness', 8081, 30),
    lifecycle: { preStop: { exec: { command: ['sleep', '10'] } } },
    securityContext: { allowPrivilegeEscalation: false, readOnlyRootFilesystem: true },
    volumeMounts: [
      { name: 'tmp', mountPath: '/tmp' },
      { name: 'config', mountPath: '/etc/cart', readOnly: true },
    ],
  };
}

function sidecar(): object {
  return {
    name: 'proxy',
    image: 'registry.example.com/mesh/proxy:1.24.1',
    args: ['proxy', 'sidecar', '--domain', 'shop.svc.cluster.local', '--log-level', 'warning'],
    env: Array.from({ length: 6 }, (_, index) => ({
      name: `PROXY_${index}`,
      value: `on-${index}`,
    })),
    ports: [{ name: 'proxy', containerPort: 15_090 }],
    resources: { requests: { cpu: '100m', memory: '128Mi' }, limits: { memory: '256Mi' } },
    readinessProbe: probe('/ready', 15_021, 4),
  };
}

/** What a kubelet would report of it, `life` times restarted. */
export function madeUpStatus(name: string, life: number): object {
  const time = '2026-11-26T04:00:00Z';
  const condition = (type: string, status = 'True'): object => ({
    type,
    status,
    lastProbeTime: null,
    lastTransitionTime: time,
  });
  const container = (containerName: string, image: string, restartCount: number): object => ({
    name: containerName,
    image,
    imageID: `${image}@sha256:${'5f'.repeat(32)}`,
    containerID: `containerd://${digest(`${name}/${containerName}/${restartCount}`)}`,
    ready: true,
    started: true,
    restartCount,
    state: { running: { startedAt: time } },
    lastState:
      restartCount === 0
        ? {}
        : {
            terminated: {
              exitCode: 137,
              reason: 'OOMKilled',
              startedAt: time,
              finishedAt: time,
              containerID: `containerd://${digest(`${name}/${containerName}/${restartCount - 1}`)}`,
            },
          },
  });
  return {
    phase: 'Running',
    startTime: time,
    qosClass: 'Burstable',
    hostIP: '10.0.12.7',
    hostIPs: [{ ip: '10.0.12.7' }],
    podIP: addressOf(name),
    podIPs: [{ ip: addressOf(name) }],
    conditions: [
      condition('PodReadyToStartContainers'),
      condition('Initialized'),
      condition('Ready', life % 2 === 0 ? 'True' : 'False'),
      condition('ContainersReady', life % 2 === 0 ? 'True' : 'False'),
      condition('PodScheduled'),
    ],
    containerStatuses: [
      container('app', 'registry.example.com/shop/cart:4.17.2', life),
      container('proxy', 'registry.example.com/mesh/proxy:1.24.1', 0),
    ],
  };
}

function digest(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}

function addressOf(name: string): string {
  const [first, second] = createHash('sha256').update(name).digest();
  return `10.96.${first ?? 0}.${second ?? 0}`;
}
