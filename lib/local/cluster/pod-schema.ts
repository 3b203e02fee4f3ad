import * as z from 'zod';

/**
 * Pods as this cluster takes them. Defaults are the API's. Fields without an effect on a local process (resources,
 * tolerations, security profiles) pass unread; what would silently not hold is refused.
 */
const seconds = (min: number) => z.number().int().min(min).max(86_400);
const labels = z.record(z.string(), z.string());

const httpGet = z.looseObject({
  path: z.string().default('/'),
  port: z.union([z.number().int().min(1).max(65_535), z.string()]),
  host: z.string().optional(),
  scheme: z.literal('HTTP').default('HTTP'),
});
const exec = z.looseObject({ command: z.array(z.string()).min(1) });

const probe = z
  .strictObject({
    httpGet: httpGet.optional(),
    exec: exec.optional(),
    initialDelaySeconds: seconds(0).default(0),
    periodSeconds: seconds(1).default(10),
    timeoutSeconds: seconds(1).default(1),
    successThreshold: seconds(1).default(1),
    failureThreshold: seconds(1).default(3),
    terminationGracePeriodSeconds: seconds(1).optional(),
  })
  .refine(
    ({ httpGet: http, exec: command }) => (http === undefined) !== (command === undefined),
    'accepted is one of httpGet and exec',
  );

const fieldRef = z.looseObject({ fieldPath: z.string() });
const envVar = z.looseObject({
  name: z.string().min(1),
  value: z.string().optional(),
  valueFrom: z.strictObject({ fieldRef }).optional(),
});

const securityContext = z.looseObject({
  runAsUser: z.number().int().min(0).optional(),
  runAsGroup: z.number().int().min(0).optional(),
});

const absolutePath = z.string().startsWith('/');
const containerFields = {
  name: z.string().regex(/^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/),
  image: z.string().min(1),
  imagePullPolicy: z.string().default('IfNotPresent'),
  command: z.array(z.string()).optional(),
  args: z.array(z.string()).optional(),
  workingDir: absolutePath.optional(),
  env: z.array(envVar).default([]),
  envFrom: z.never().optional(),
  securityContext: securityContext.optional(),
  volumeMounts: z.array(z.looseObject({ name: z.string(), mountPath: absolutePath })).default([]),
};

const container = z.looseObject({
  ...containerFields,
  ports: z
    .array(z.looseObject({ name: z.string().optional(), containerPort: z.number().int() }))
    .default([]),
  livenessProbe: probe.optional(),
  readinessProbe: probe.optional(),
  startupProbe: probe.optional(),
  lifecycle: z
    .strictObject({
      preStop: z
        .strictObject({
          sleep: z.strictObject({ seconds: seconds(0) }).optional(),
          exec: exec.optional(),
          httpGet: httpGet.optional(),
        })
        .optional(),
    })
    .optional(),
});

/** The API allows no resources, ports, probes and hooks here. */
export const ephemeralContainerSchema = z.looseObject({
  ...containerFields,
  targetContainerName: z.string().optional(),
  resources: z.strictObject({}).optional(),
  ports: z.never().optional(),
  livenessProbe: z.never().optional(),
  readinessProbe: z.never().optional(),
  startupProbe: z.never().optional(),
  lifecycle: z.never().optional(),
});

const volume = z.looseObject({
  name: z.string(),
  emptyDir: z.looseObject({}).optional(),
  hostPath: z.looseObject({ path: absolutePath }).optional(),
});

export const podSpecSchema = z.looseObject({
  containers: z.array(container).min(1).max(20),
  initContainers: z.array(z.never()).optional(),
  ephemeralContainers: z.array(ephemeralContainerSchema).default([]),
  volumes: z.array(volume).default([]),
  restartPolicy: z.enum(['Always', 'OnFailure', 'Never']).default('Always'),
  terminationGracePeriodSeconds: seconds(0).default(30),
  securityContext: securityContext.prefault({}),
  serviceAccountName: z.string().default('default'),
});

export const metadataSchema = z.looseObject({
  name: z
    .string()
    .max(253)
    .regex(/^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$/),
  labels: labels.default({}),
  annotations: labels.optional(),
});

export const podSchema = z.looseObject({ metadata: metadataSchema, spec: podSpecSchema });

export const deploymentSchema = z.looseObject({
  metadata: metadataSchema,
  spec: z.looseObject({
    replicas: z.number().int().min(0).max(50).default(1),
    selector: z.strictObject({ matchLabels: labels }),
    template: z.looseObject({
      metadata: z.looseObject({ labels: labels.default({}), annotations: labels.optional() }),
      spec: podSpecSchema,
    }),
  }),
});

export type PodSpec = z.output<typeof podSpecSchema>;
export type Container = z.output<typeof container>;
export type EphemeralContainer = z.output<typeof ephemeralContainerSchema>;
export type Probe = z.output<typeof probe>;
export type HttpGet = z.output<typeof httpGet>;
export type EnvVar = z.output<typeof envVar>;
