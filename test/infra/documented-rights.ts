import { readFileSync } from 'node:fs';
import path from 'node:path';

/** A row of the table "Kubernetes" of docs/permissions.md. */
export interface DocumentedRight {
  role: string;
  resource: string;
  /** The only object that it is about. */
  objectName?: string;
  verbs: string[];
  where: 'cluster' | 'namespace heapcatch';
}

export function documentedRights(): DocumentedRight[] {
  const file = path.resolve(import.meta.dirname, '../../docs/permissions.md');
  const rows = readFileSync(file, 'utf8').matchAll(
    /^\| (heapcatch-[-a-z]+) \| `([a-z/]+)`(?: named `([-a-z]+)`)? \| ([a-z, ]+) \| (cluster|namespace heapcatch) \|/gm,
  );
  return [...rows].map(([, role = '', resource = '', objectName, verbs = '', where]) => ({
    ...{ role, resource, verbs: verbs.split(', ') },
    ...(objectName === undefined ? {} : { objectName }),
    where: where as DocumentedRight['where'],
  }));
}

/** One right in words, as the tests compare them: `get pods`, `patch leases named heapcatch-forwarder`. */
export function rightsInWords(right: {
  verbs: readonly string[];
  resource: string;
  objectName?: string | undefined;
}): string[] {
  const { verbs, resource, objectName } = right;
  const named = objectName === undefined ? '' : ` named ${objectName}`;
  return verbs.map((verb) => `${verb} ${resource}${named}`);
}
