import { describe, expect, it } from '@jest/globals';
import { ClusterConnection } from '../../lib/kubernetes/connection.ts';
import { inClusterKubeconfig, loadKubeconfig } from '../../lib/kubernetes/kubeconfig.ts';
import { kubeconfigFor } from './fake-api.ts';

describe('loadKubeconfig', () => {
  it('reads YAML', () => {
    const text = `
current-context: c
clusters: [{name: a, cluster: {server: "https://api.example:6443/clusters/7/"}}]
users: [{name: b, user: {token: t}}]
contexts: [{name: c, context: {cluster: a, user: b}}]
`;
    const connection = new ClusterConnection(text);

    expect(
      connection.urlOf({ verb: 'list', resource: 'pods', namespace: '', query: { limit: 1 } }).href,
    ).toBe('https://api.example:6443/clusters/7/api/v1/pods?limit=1');
  });

  it.each([
    ['text that is not YAML', 'token: "secret-token\n  ]['],
    ['no current context', '{"clusters":[],"users":[],"contexts":[]}'],
    ['null', 'null'],
    ['a server that is not a URL', kubeconfigFor('secret-token')],
    ['plain http that was not asked for', kubeconfigFor('http://a').replace('true', 'false')],
    ['another protocol', kubeconfigFor('ftp://a')],
  ])('refuses %s without showing any of it', (_case, text) => {
    const load = (): unknown => loadKubeconfig(text);

    expect(load).toThrow(expect.objectContaining({ code: 'InvalidConfiguration' }));
    expect(load).toThrow(/^(?!.*secret-token)/s);
  });
});

describe('inClusterKubeconfig', () => {
  it('names the service and the files of the service account', () => {
    const env = { KUBERNETES_SERVICE_HOST: 'fd00::1', KUBERNETES_SERVICE_PORT: '443' };

    const { config, server } = loadKubeconfig(inClusterKubeconfig(env));

    expect(server.href).toBe('https://[fd00::1]/');
    expect(config.getCurrentCluster()!.caFile).toBe(
      '/var/run/secrets/kubernetes.io/serviceaccount/ca.crt',
    );
    expect(config.getCurrentUser()!.authProvider).toEqual({
      name: 'tokenFile',
      config: { tokenFile: '/var/run/secrets/kubernetes.io/serviceaccount/token' },
    });
  });

  it('says what is missing outside of a pod', () => {
    expect(() => inClusterKubeconfig({})).toThrow(/KUBERNETES_SERVICE_HOST/);
  });
});
