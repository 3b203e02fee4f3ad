import { randomBytes } from 'node:crypto';
import { copyFileSync, mkdtempSync, readFileSync, realpathSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { describe } from '@jest/globals';
import { clusterApiContract } from '../contract/cluster-api.ts';
import type { ClusterUnderTest } from '../contract/cluster-objects.ts';
import { buildBase, buildImage, clusterKubeconfig, Kubectl } from './cluster.ts';

const image = 'heapcatch-test/cluster-victim:e2e';
const uid = 10_001;

describe('a real cluster', () => clusterApiContract(startOnRealCluster));

async function startOnRealCluster(): Promise<ClusterUnderTest> {
  const kubeconfigFile = process.env['HEAPCATCH_KUBECONFIG'] ?? (await clusterKubeconfig());
  const kubectl = new Kubectl(kubeconfigFile);
  await buildVictim();
  const namespace = `contract-${randomBytes(4).toString('hex')}`;
  await kubectl.apply({
    apiVersion: 'v1',
    kind: 'Namespace',
    metadata: {
      name: namespace,
      // What rung B promises: that it runs here.
      labels: { 'pod-security.kubernetes.io/enforce': 'restricted' },
    },
  });
  const nodes = await kubectl.json<{ items: { metadata: { name: string } }[] }>(['get', 'nodes']);
  return {
    kubeconfig: readFileSync(kubeconfigFile, 'utf8'),
    namespace,
    nodeName: nodes.items[0]!.metadata.name,
    image,
    runAsUser: uid,
    runAsGroup: uid,
    close: async () => {
      await kubectl.run(['delete', 'namespace', namespace, '--wait=false']);
    },
  };
}

/** A small root with Node and the victim's program. */
async function buildVictim(): Promise<void> {
  const folder = mkdtempSync(path.join(tmpdir(), 'heapcatch-victim-'));
  try {
    await buildBase(folder);
    copyFileSync(realpathSync(process.execPath), path.join(folder, 'bin/node'));
    const program = path.resolve(import.meta.dirname, '../contract/cluster-victim.mjs');
    copyFileSync(program, path.join(folder, 'victim.mjs'));
    await buildImage(image, folder, { entrypoint: ['/bin/node', '/victim.mjs'] });
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
