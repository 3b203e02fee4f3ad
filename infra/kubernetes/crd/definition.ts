import * as z from 'zod';
import { jvmMonitorSpecSchema } from '../../../lib/policy/jvm-monitor.ts';
import { monitorStatusSchema } from '../../../lib/policy/monitor-status.ts';
import { monitorRules } from './rules.ts';

/** A structural schema (apiextensions.k8s.io/v1), as far as it is used here. */
export interface StructuralSchema {
  type?: string;
  description?: string;
  properties?: Record<string, StructuralSchema>;
  additionalProperties?: StructuralSchema | false;
  items?: StructuralSchema;
  required?: string[];
  'x-kubernetes-validations'?: { rule: string; message: string }[];
  [keyword: string]: unknown;
}

/**
 * The CustomResourceDefinition of JvmMonitor. Its schema is that by which the forwarder reads the resource, so that both accept the
 * same; what JSON Schema cannot say is in CEL (rules.ts).
 */
export function jvmMonitorDefinition(): Record<string, unknown> {
  const spec = structural(jvmMonitorSpecSchema);
  for (const { path, description, keywords, rules } of monitorRules) {
    for (const place of placesOf(spec, path)) {
      if (description !== undefined) place.description = description;
      Object.assign(place, keywords);
      if (rules !== undefined) place['x-kubernetes-validations'] = [...rules];
    }
  }
  const names = { plural: 'jvmmonitors', singular: 'jvmmonitor', kind: 'JvmMonitor' };
  return {
    apiVersion: 'apiextensions.k8s.io/v1',
    kind: 'CustomResourceDefinition',
    metadata: { name: 'jvmmonitors.heapcatch.dev' },
    spec: {
      group: 'heapcatch.dev',
      scope: 'Namespaced',
      names: { ...names, listKind: 'JvmMonitorList', shortNames: ['jm'] },
      versions: [
        {
          name: 'v1alpha1',
          served: true,
          storage: true,
          subresources: { status: {} },
          additionalPrinterColumns: columns,
          schema: {
            openAPIV3Schema: {
              type: 'object',
              description:
                'Which JVMs of its namespace are watched, for what, and what is captured of them.',
              required: ['spec'],
              properties: { spec, status: structural(monitorStatusSchema) },
            },
          },
        },
      ],
    },
  };
}

const conditionColumn = (name: string, type: string, field: string, priority = 0) => ({
  name,
  type: 'string',
  jsonPath: `.status.conditions[?(@.type=="${type}")].${field}`,
  ...(priority === 0 ? {} : { priority }),
});
const columns = [
  conditionColumn('Ready', 'Ready', 'status'),
  conditionColumn('Degraded', 'Degraded', 'status'),
  conditionColumn('Throttled', 'Throttled', 'status'),
  { name: 'Pods', type: 'integer', jsonPath: '.status.matchedPodCount' },
  { name: 'Last capture', type: 'string', jsonPath: '.status.lastCaptures[0].state' },
  { name: 'When', type: 'date', jsonPath: '.status.lastCaptures[0].time' },
  conditionColumn('Reason', 'Ready', 'reason', 1),
  { name: 'Source', type: 'string', jsonPath: '.spec.metrics.source', priority: 1 },
  { name: 'Age', type: 'date', jsonPath: '.metadata.creationTimestamp' },
];

/** Keywords that a structural schema may have, of those that zod writes. */
const kept = [
  ...['type', 'properties', 'items', 'required', 'enum', 'default', 'pattern'],
  ...['minimum', 'maximum', 'minLength', 'maxLength', 'minItems', 'maxItems'],
];

function structural(schema: z.ZodType): StructuralSchema {
  return converted(z.toJSONSchema(schema, { io: 'input' }) as StructuralSchema);
}

function converted(schema: StructuralSchema): StructuralSchema {
  const result: StructuralSchema = Object.fromEntries(
    Object.entries(schema).filter(([keyword]) => kept.includes(keyword)),
  );
  if (schema.properties !== undefined) {
    result.properties = Object.fromEntries(
      Object.entries(schema.properties).map(([name, inner]) => [name, converted(inner)]),
    );
  }
  if (schema.items !== undefined) result.items = converted(schema.items);
  // `false` is what a structural schema without it means: unknown fields are refused or pruned.
  if (typeof schema.additionalProperties === 'object' && result.properties === undefined) {
    result.additionalProperties = converted(schema.additionalProperties);
  }
  return result;
}

/** The schema at a path of property names, `*` for any, `[]` for the items of a list. @throws Error when there is none. */
function placesOf(schema: StructuralSchema, path: string): StructuralSchema[] {
  let places = [schema];
  for (const step of path.split('.').filter((one) => one !== '')) {
    places = places.flatMap((place) => {
      if (step === '[]') return place.items === undefined ? [] : [place.items];
      const { properties = {} } = place;
      if (step === '*') return Object.values(properties);
      return properties[step] === undefined ? [] : [properties[step]];
    });
  }
  if (places.length === 0) throw new Error(`the schema has no ${path}`);
  return places;
}
