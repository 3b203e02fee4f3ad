import { describe, expect, it } from '@jest/globals';
import { loadAllYaml, loadYaml } from '@kubernetes/client-node';
import { readFileSync, readdirSync } from 'node:fs';
import path from 'node:path';
import { chartFiles } from '../../infra/helm/chart-files.ts';

const infra = path.resolve(import.meta.dirname, '../../infra');
const chart = path.join(infra, 'helm/heapcatch');

interface Manifest {
  kind: string;
  metadata: { name: string; namespace?: string; labels?: Record<string, string> };
  spec?: { template?: { spec: Record<string, unknown> } };
  rules?: { apiGroups: string[]; resources: string[]; verbs: string[] }[];
  subjects?: unknown[];
}
interface Kustomization {
  resources?: string[];
  components?: string[];
}

const manifestsOf = (text: string): Manifest[] =>
  (loadAllYaml(text) as (Manifest | null | undefined)[]).filter(
    (one) => one !== null && one !== undefined,
  );

/** The objects of a kustomization, before its patches and transformers. */
function kustomized(folder: string): Manifest[] {
  const text = readFileSync(path.join(folder, 'kustomization.yaml'), 'utf8');
  const { resources = [], components = [] } = loadYaml<Kustomization>(text);
  return [...resources, ...components].flatMap((name) => {
    const found = path.join(folder, name);
    return name.endsWith('.yaml') ? manifestsOf(readFileSync(found, 'utf8')) : kustomized(found);
  });
}

/** What the templates use of Helm's language; anything else stays in the text and fails to parse. */
function rendered(
  values: Readonly<Record<string, string | boolean>>,
  namespace: string,
): Manifest[] {
  const folder = path.join(chart, 'templates');
  const files = readdirSync(folder).filter((file) => file.endsWith('.yaml'));
  const valueOf = (name: string): string | boolean => {
    const value = values[name];
    if (value === undefined) throw new Error(`values.yaml has no ${name}`);
    return value;
  };
  return files.flatMap((file) => {
    const kept: boolean[] = [];
    const lines = readFileSync(path.join(folder, file), 'utf8')
      .split('\n')
      .filter((line) => {
        const condition = /^\{\{- if \.Values\.(\w+) \}\}$/.exec(line)?.[1];
        if (condition !== undefined) {
          kept.push(valueOf(condition) !== '' && valueOf(condition) !== false);
          return false;
        }
        if (line === '{{- end }}') {
          kept.pop();
          return false;
        }
        return kept.every(Boolean);
      });
    expect(kept).toEqual([]);
    const text = lines
      .join('\n')
      .replaceAll('{{ .Release.Namespace }}', namespace)
      .replaceAll(
        /\{\{ (?:required "[^"]+" )?\.Values\.(\w+) \| quote \}\}/g,
        (_all, name: string) => JSON.stringify(valueOf(name)),
      );
    return manifestsOf(text);
  });
}

const clusterWide = /^(?:Cluster|Namespace$|CustomResourceDefinition$|PriorityClass$)/;

/** By kind and name, as an API server would have them, without what Helm does otherwise. */
function byName(manifests: readonly Manifest[]): Record<string, Manifest> {
  const compared = manifests
    .filter(({ kind }) => kind !== 'Namespace' && kind !== 'CustomResourceDefinition')
    .map((manifest) => {
      const { metadata, kind } = manifest;
      const namespace = clusterWide.test(kind) ? {} : { namespace: 'heapcatch' };
      return { ...manifest, metadata: { ...namespace, ...metadata } };
    });
  return Object.fromEntries(compared.map((one) => [`${one.kind}/${one.metadata.name}`, one]));
}

/** What the component `priority` patches in. */
function withPriority(manifests: readonly Manifest[]): Manifest[] {
  return manifests.map((manifest) => {
    const pod = manifest.spec?.template?.spec;
    if (pod === undefined) return manifest;
    const template = {
      ...manifest.spec?.template,
      spec: { ...pod, priorityClassName: 'heapcatch' },
    };
    return { ...manifest, spec: { ...manifest.spec, template } };
  });
}

const defaults = loadYaml<Record<string, string | boolean>>(
  readFileSync(path.join(chart, 'values.yaml'), 'utf8'),
);
/** What stands in infra/kubernetes. */
const values = {
  ...defaults,
  ...{ image: 'heapcatch', clusterName: 'cluster', eventBusName: 'heapcatch-dev' },
  region: 'us-east-1',
};

describe('the Helm chart', () => {
  it('is made of the manifests: node infra/helm/write.ts', () => {
    for (const [file, text] of Object.entries(chartFiles())) {
      expect([file, readFileSync(path.join(chart, file), 'utf8')]).toEqual([file, text]);
    }
    const made = Object.keys(chartFiles()).filter((file) => file.startsWith('templates/'));
    const there = readdirSync(path.join(chart, 'templates')).map((file) => `templates/${file}`);
    expect(there.sort()).toEqual([...made, 'templates/NOTES.txt'].sort());
  });

  it.each([
    ['default', {}],
    ['ephemeral-only', { nodeAgent: false }],
  ])('renders the objects of the overlay %s', (overlay, changes) => {
    const expected = withPriority(kustomized(path.join(infra, 'kubernetes/overlays', overlay)));

    expect(byName(rendered({ ...values, ...changes }, 'heapcatch'))).toEqual(byName(expected));
    expect(expected.length).toBeGreaterThan(15);
  });

  it('names no other namespace than its own', () => {
    const all = { exec: true, previousLog: true, functionsToken: true, forwarderRoleArn: 'arn' };
    const text = JSON.stringify(rendered({ ...values, ...all }, 'ops'));

    expect(text).toContain('"namespace":"ops"');
    expect(text).toContain('http://heapcatch-forwarder.ops.svc:8081');
    expect(text).toContain('"eks.amazonaws.com/role-arn":"arn"');
    expect(text).not.toMatch(/"namespace":"heapcatch"|\.heapcatch\.svc/);
  });
});

describe('an installation without rights in the whole cluster', () => {
  const watched = kustomized(path.join(infra, 'kubernetes/watched-namespace'));
  const rulesOf = (manifests: readonly Manifest[], kind: string, names: readonly string[]) =>
    manifests
      .filter((one) => one.kind === kind && names.includes(one.metadata.name))
      .flatMap(({ rules = [] }) => rules)
      .flatMap(({ resources, verbs }) =>
        resources.flatMap((resource) => verbs.map((verb) => `${verb} ${resource}`)),
      )
      .sort();

  it('has nothing but Roles, bound to whom the cluster’s are bound', () => {
    expect(new Set(watched.map(({ kind }) => kind))).toEqual(new Set(['Role', 'RoleBinding']));
    const base = kustomized(path.join(infra, 'kubernetes/base'));
    for (const { metadata, subjects } of watched.filter(({ kind }) => kind === 'RoleBinding')) {
      const same = base.find(
        (one) => one.kind === 'ClusterRoleBinding' && one.metadata.name === metadata.name,
      );
      expect(subjects).toEqual(same?.subjects);
    }
  });

  it('has in a watched namespace the rights of the cluster’s roles, but for what has no namespace', () => {
    const whole = kustomized(path.join(infra, 'kubernetes/overlays/ephemeral-only'));
    const cluster = (names: string[]): string[] => rulesOf(whole, 'ClusterRole', names);

    expect(rulesOf(watched, 'Role', ['heapcatch-forwarder'])).toEqual(
      cluster(['heapcatch-forwarder']).filter((right) => right !== 'create tokenreviews'),
    );
    expect(cluster(['heapcatch-functions', 'heapcatch-ephemeral-containers'])).toEqual(
      expect.arrayContaining(rulesOf(watched, 'Role', ['heapcatch-functions'])),
    );
    expect(rulesOf(watched, 'Role', ['heapcatch-functions']).length).toBeGreaterThan(7);
  });
});
