import path from 'node:path';
import { describe } from '@jest/globals';
import { startLocalCluster } from '../../lib/local/cluster/local-cluster.ts';
import { clusterApiContract } from './cluster-api.ts';

describe('the local cluster', () => {
  clusterApiContract(async () => {
    const image = 'heapcatch-test/cluster-victim:local';
    const victim = path.join(import.meta.dirname, 'cluster-victim.mjs');
    const cluster = await startLocalCluster({
      images: { [image]: [process.execPath, victim] },
      bookmarkSeconds: 1,
    });
    return {
      kubeconfig: cluster.kubeconfig,
      namespace: 'contract',
      nodeName: cluster.nodeName,
      image,
      runAsUser: process.getuid!(),
      runAsGroup: process.getgid!(),
      close: () => cluster.close(),
    };
  });
});
