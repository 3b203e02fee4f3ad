import { describe, expect, it } from '@jest/globals';
import { loadAllYaml } from '@kubernetes/client-node';
import { globSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { documentedRights, rightsInWords } from './documented-rights.ts';

const project = path.resolve(import.meta.dirname, '../..');

interface Manifest {
  kind: string;
  metadata: { name: string; namespace?: string };
  rules?: { resources: string[]; verbs: string[]; resourceNames?: string[] }[];
  roleRef?: { name: string };
  subjects?: { kind: string; name: string; namespace: string }[];
  spec?: { template?: PodTemplate };
}
interface PodTemplate {
  metadata: { annotations?: Record<string, string> };
  spec: PodSpec;
}
interface SecurityContext {
  runAsNonRoot?: boolean;
  runAsUser?: number;
  privileged?: boolean;
  allowPrivilegeEscalation?: boolean;
  readOnlyRootFilesystem?: boolean;
  seccompProfile?: { type: string };
  capabilities?: { drop?: string[]; add?: string[] };
}
interface PodSpec {
  hostPID?: boolean;
  hostNetwork?: boolean;
  securityContext?: SecurityContext;
  automountServiceAccountToken?: boolean;
  volumes?: unknown[];
  containers: {
    securityContext?: SecurityContext;
    resources?: { limits?: { memory?: string } };
    ports?: { containerPort: number }[];
    env?: { name: string; value: string }[];
  }[];
}

const manifestsIn = (folder: string): Manifest[] =>
  globSync(`infra/kubernetes/${folder}/**/*.yaml`, { cwd: project })
    .filter((file) => !file.endsWith('kustomization.yaml'))
    .flatMap((file) => loadAllYaml(readFileSync(path.join(project, file), 'utf8')) as Manifest[]);
const manifests = [...manifestsIn('base'), ...manifestsIn('components')];

const podTemplate = (name: string): PodTemplate =>
  manifests.find((manifest) => manifest.metadata.name === name && manifest.spec?.template)!.spec!
    .template!;
const podSpec = (name: string): PodSpec => podTemplate(name).spec;

describe('the manifests of the cluster side', () => {
  it('grant exactly the verbs that docs/permissions.md lists', () => {
    const granted = manifests.flatMap((manifest) => {
      const where = manifest.kind === 'ClusterRole' ? 'cluster' : 'namespace heapcatch';
      return (manifest.rules ?? []).flatMap(({ resources, verbs, resourceNames = [undefined] }) =>
        resources.flatMap((resource) =>
          resourceNames.flatMap((objectName) =>
            rightsInWords({ verbs, resource, objectName }).map(
              (right) => `${manifest.metadata.name}: ${right}, ${where}`,
            ),
          ),
        ),
      );
    });
    const documented = documentedRights().flatMap((row) =>
      rightsInWords(row).map((right) => `${row.role}: ${right}, ${row.where}`),
    );

    expect(granted.sort()).toEqual(documented.sort());
    expect(granted.length).toBeGreaterThan(20);
  });

  it('bind the roles to the accounts that docs/permissions.md names, and none to the agent', () => {
    const bound = manifests.flatMap(({ roleRef, subjects = [] }) =>
      subjects.map(({ kind, name, namespace }) =>
        [`${roleRef?.name}: ${kind}`, kind === 'Group' ? name : `${namespace}/${name}`].join(' '),
      ),
    );
    const forwarders = new Set(['heapcatch-forwarder', 'heapcatch-namespaces']);
    const expected = new Set(
      documentedRights().flatMap(({ role, where }) =>
        forwarders.has(role)
          ? [`${where}, ${role}: ServiceAccount heapcatch/heapcatch-forwarder`]
          : [
              `${where}, ${role}: ServiceAccount heapcatch/heapcatch-functions`,
              `${where}, ${role}: Group heapcatch-cloud-functions`,
            ],
      ),
    );

    expect(bound.sort()).toEqual([...expected].map((one) => one.split(', ')[1]).sort());
  });

  it('of components name their namespace, for the base that names it does not reach them', () => {
    const outside = manifestsIn('components').filter(
      ({ kind, metadata }) =>
        !kind.startsWith('Cluster') &&
        kind !== 'PriorityClass' &&
        metadata.namespace !== 'heapcatch',
    );
    expect(outside).toEqual([]);
    expect(manifestsIn('components').length).toBeGreaterThan(4);
  });

  it('run the forwarder under the restricted standard', () => {
    const spec = podSpec('heapcatch-forwarder');
    expect(spec.securityContext).toMatchObject({
      runAsNonRoot: true,
      seccompProfile: { type: 'RuntimeDefault' },
    });
    for (const container of spec.containers) {
      expect(container.securityContext).toEqual({
        allowPrivilegeEscalation: false,
        readOnlyRootFilesystem: true,
        capabilities: { drop: ['ALL'] },
      });
      expect(container.resources?.limits?.memory).toBeDefined();
    }
  });

  it.each(['heapcatch-forwarder', 'heapcatch-agent'])(
    'let Prometheus scrape %s at the port that its program is told to open',
    (name) => {
      const { metadata, spec } = podTemplate(name);
      const [container] = spec.containers;
      const [port] = container?.ports ?? [];

      expect(metadata.annotations).toEqual({
        'prometheus.io/scrape': 'true',
        'prometheus.io/port': String(port?.containerPort),
      });
      const told = container?.env?.find((one) => one.name === 'HEAPCATCH_HEALTH_PORT');
      expect(told?.value ?? String(port?.containerPort)).toBe(String(port?.containerPort));
    },
  );

  it('give the node agent three capabilities, no privileges and no token but one for the forwarder', () => {
    const spec = podSpec('heapcatch-agent');
    expect(JSON.stringify(spec.volumes).match(/serviceAccountToken":\{[^}]*/g)).toEqual([
      expect.stringContaining('"audience":"heapcatch"'),
    ]);
    expect(spec).toMatchObject({ hostPID: true, automountServiceAccountToken: false });
    expect(spec.hostNetwork).toBeUndefined();
    for (const { securityContext } of spec.containers) {
      expect(securityContext?.privileged).toBeUndefined();
      expect(securityContext).toMatchObject({
        allowPrivilegeEscalation: false,
        readOnlyRootFilesystem: true,
        capabilities: { drop: ['ALL'], add: ['SYS_PTRACE', 'KILL', 'DAC_OVERRIDE'] },
      });
    }
  });
});
