import { ApiError } from './api-error.ts';
import type { ApiObject } from './api-objects.ts';

export type Selector = (object: ApiObject) => boolean;

/** Field selectors that the real API knows for pods and Events, and that a client here may use. */
const fieldPaths = [
  'metadata.name',
  'metadata.namespace',
  'spec.nodeName',
  'status.phase',
  'status.podIP',
  'involvedObject.kind',
  'involvedObject.name',
  'involvedObject.namespace',
  'involvedObject.uid',
  'reason',
  'type',
];

/**
 * The objects that both selectors hold for: `a=b`, `a==b` and `a!=b`, joined by commas, and bare label names.
 * @throws ApiError 400 for fields and forms that are not known here.
 */
export function parseSelectors(labelSelector: string, fieldSelector: string): Selector {
  const tests = [
    ...requirementsOf(labelSelector).map(({ key, operator, value }): Selector => {
      return ({ metadata }) => compare(metadata.labels?.[key], operator, value);
    }),
    ...requirementsOf(fieldSelector).map(({ key, operator, value }): Selector => {
      if (!fieldPaths.includes(key)) {
        throw new ApiError(400, 'BadRequest', `field label not supported: ${key}`);
      }
      return (object) => compare(fieldOf(object, key) ?? '', operator, value);
    }),
  ];
  return (object) => tests.every((test) => test(object));
}

type Operator = '=' | '!=' | 'exists';

function requirementsOf(selector: string): { key: string; operator: Operator; value: string }[] {
  return selector
    .split(',')
    .filter((part) => part.trim() !== '')
    .map((part) => {
      const match = /^([-A-Za-z0-9_./]+)\s*(?:(!=|==?)\s*([-A-Za-z0-9_.:]*))?$/.exec(part.trim());
      if (!match) throw new ApiError(400, 'BadRequest', `unable to parse requirement: ${part}`);
      const [, key = '', sign, value = ''] = match;
      return { key, operator: sign === undefined ? 'exists' : sign === '!=' ? '!=' : '=', value };
    });
}

function compare(actual: string | undefined, operator: Operator, value: string): boolean {
  if (operator === 'exists') return actual !== undefined;
  return (actual === value) === (operator === '=');
}

function fieldOf(object: ApiObject, path: string): string | undefined {
  let value: unknown = object;
  for (const key of path.split('.')) value = (value as Record<string, unknown> | undefined)?.[key];
  return value as string | undefined;
}
