import { describe, expect, it } from '@jest/globals';
import { hostname } from 'node:os';
import { CaptureError } from '../../lib/errors.ts';
import { readForwarderConfig } from '../../lib/forwarder/config.ts';

const good = {
  HEAPCATCH_CLUSTER_NAME: 'prod-eu',
  HEAPCATCH_EVENT_BUS_NAME: 'heapcatch-dev',
  AWS_REGION: 'eu-central-1',
};

function codeOf(act: () => unknown): string | undefined {
  try {
    act();
  } catch (error) {
    if (error instanceof CaptureError) return error.code;
  }
  return undefined;
}

describe('readForwarderConfig', () => {
  it('fills in the documented defaults', () => {
    expect(readForwarderConfig(good)).toEqual({
      clusterName: 'prod-eu',
      alertsCluster: 'prod-eu',
      namespaces: [''],
      eventBusName: 'heapcatch-dev',
      region: 'eu-central-1',
      spoolDirectory: '/var/spool/heapcatch',
      spoolMaxBytes: 67_108_864,
      httpPort: 8080,
      apiPort: 8081,
    });
  });

  it('takes every variable', () => {
    const config = readForwarderConfig({
      ...good,
      HEAPCATCH_NAMESPACES: 'shop, pay,shop',
      HEAPCATCH_EVENT_BUS_NAME: 'arn:aws:events:eu-central-1:123456789012:event-bus/heapcatch',
      AWS_ENDPOINT_URL: 'http://127.0.0.1:4566',
      HEAPCATCH_SPOOL_DIR: '/spool',
      HEAPCATCH_SPOOL_MAX_BYTES: '4294967296',
      HEAPCATCH_HTTP_PORT: '0',
      HEAPCATCH_KUBECONFIG: '/etc/kubeconfig',
    });

    expect(config).toMatchObject({
      namespaces: ['shop', 'pay'],
      endpoint: 'http://127.0.0.1:4566',
      spoolDirectory: '/spool',
      spoolMaxBytes: 4_294_967_296,
      httpPort: 0,
      kubeconfig: '/etc/kubeconfig',
    });
  });

  it('watches the namespaces of a label, beside those that it names, and not all', () => {
    const selector = { HEAPCATCH_NAMESPACE_SELECTOR: 'heapcatch.dev/watch in (true, yes)' };
    const named = { HEAPCATCH_NAMESPACES: 'shop' };

    expect(readForwarderConfig({ ...good, ...selector })).toMatchObject({
      namespaces: [],
      namespaceSelector: 'heapcatch.dev/watch in (true, yes)',
    });
    expect(readForwarderConfig({ ...good, ...selector, ...named }).namespaces).toEqual(['shop']);
    expect(() =>
      readForwarderConfig({ ...good, HEAPCATCH_NAMESPACE_SELECTOR: 'a&limit=1' }),
    ).toThrow('HEAPCATCH_NAMESPACE_SELECTOR is "a&limit=1", accepted is a label selector');
  });

  it('takes part in an election where a namespace of its Lease is named', () => {
    const namespace = { HEAPCATCH_LEASE_NAMESPACE: 'heapcatch' };
    const named = { HEAPCATCH_LEASE_NAME: 'other', HEAPCATCH_POD_NAME: 'forwarder-1' };

    expect(readForwarderConfig({ ...good, ...named }).election).toBeUndefined();
    expect(readForwarderConfig({ ...good, ...namespace }).election).toEqual({
      ...{ namespace: 'heapcatch', name: 'heapcatch-forwarder', podName: hostname() },
    });
    expect(readForwarderConfig({ ...good, ...namespace, ...named }).election).toEqual({
      ...{ namespace: 'heapcatch', name: 'other', podName: 'forwarder-1' },
    });
  });

  it('takes TLS for the API with or without a client CA, and nothing in between', () => {
    const pair = {
      HEAPCATCH_API_TLS_CERT_FILE: '/tls/tls.crt',
      HEAPCATCH_API_TLS_KEY_FILE: '/tls/tls.key',
    };
    const ca = { HEAPCATCH_API_TLS_CLIENT_CA_FILE: '/tls/ca.crt' };
    const files = { cert: '/tls/tls.crt', key: '/tls/tls.key' };
    const read = (more: Record<string, string>) => readForwarderConfig({ ...good, ...more });

    expect(read(pair).apiTls).toEqual({ port: 8443, files });
    expect(read({ ...pair, ...ca, HEAPCATCH_API_TLS_PORT: '9443' }).apiTls).toEqual({
      port: 9443,
      files: { ...files, clientCa: '/tls/ca.crt' },
    });
    for (const part of [ca, { HEAPCATCH_API_TLS_KEY_FILE: '/tls/tls.key' }]) {
      expect(() => read(part)).toThrow(/HEAPCATCH_API_TLS_CERT_FILE, .* accepted/);
    }
  });

  it('takes where the tokens of alerts are, and what alerts call the cluster', () => {
    const config = readForwarderConfig({
      ...good,
      HEAPCATCH_ALERTS_TOKEN_FILE: '/secret/token',
      HEAPCATCH_ALERTS_CLUSTER: 'arn:aws:eks:eu-central-1:123456789012:cluster/prod',
    });

    expect(config).toMatchObject({
      alertsTokenFile: '/secret/token',
      alertsCluster: 'arn:aws:eks:eu-central-1:123456789012:cluster/prod',
    });
  });

  it('counts an empty variable as absent', () => {
    const config = readForwarderConfig({
      ...good,
      HEAPCATCH_NAMESPACES: '',
      HEAPCATCH_HTTP_PORT: ' ',
      HEAPCATCH_KUBECONFIG: '',
    });

    expect(config).toMatchObject({ namespaces: [''], httpPort: 8080 });
    expect(config).not.toHaveProperty('kubeconfig');
  });

  it('names every fault at once, with the variable, the value and what is accepted', () => {
    const read = () =>
      readForwarderConfig({
        HEAPCATCH_CLUSTER_NAME: 'no spaces',
        HEAPCATCH_NAMESPACES: 'shop,Bad_Name',
        AWS_REGION: 'eu-central-1',
        AWS_ENDPOINT_URL: 'ftp://x',
        HEAPCATCH_SPOOL_DIR: 'relative',
        HEAPCATCH_SPOOL_MAX_BYTES: '64MiB',
        HEAPCATCH_HTTP_PORT: '65536',
      });

    expect(codeOf(read)).toBe('InvalidConfiguration');
    for (const part of [
      /HEAPCATCH_CLUSTER_NAME is "no spaces", accepted/,
      /HEAPCATCH_NAMESPACES has "Bad_Name", accepted/,
      /HEAPCATCH_EVENT_BUS_NAME is missing, accepted/,
      /AWS_ENDPOINT_URL is "ftp:\/\/x", accepted/,
      /HEAPCATCH_SPOOL_DIR is "relative", accepted/,
      /HEAPCATCH_SPOOL_MAX_BYTES is "64MiB", accepted is a whole number from 1048576/,
      /HEAPCATCH_HTTP_PORT is "65536", accepted is a whole number from 0 to 65535/,
    ]) {
      expect(read).toThrow(part);
    }
  });

  it.each(['-1', '1e3', '0x50', 'NaN', '80.5', '9'.repeat(400)])('refuses the port %j', (port) => {
    expect(() => readForwarderConfig({ ...good, HEAPCATCH_HTTP_PORT: port })).toThrow(
      /HEAPCATCH_HTTP_PORT/,
    );
  });

  it('refuses more namespaces than watches are sensible for', () => {
    const names = Array.from({ length: 101 }, (_, index) => `n${String(index)}`).join(',');

    expect(() => readForwarderConfig({ ...good, HEAPCATCH_NAMESPACES: names })).toThrow(
      /101 names/,
    );
  });
});
