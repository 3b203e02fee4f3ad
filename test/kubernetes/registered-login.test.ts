import { readFileSync } from 'node:fs';
import https from 'node:https';
import type { AddressInfo } from 'node:net';
import path from 'node:path';
import { TLSSocket } from 'node:tls';
import { afterEach, describe, expect, it } from '@jest/globals';
import type { ClusterCredentials, RegisteredCluster } from '../../lib/cluster-access.ts';
import { ClusterConnection } from '../../lib/kubernetes/connection.ts';
import { reviewSelf } from '../../lib/kubernetes/self-review.ts';

const tlsFile = (name: string): string =>
  readFileSync(path.join(import.meta.dirname, '../forwarder/fixtures/tls', name), 'utf8');
const call = { verb: 'get', resource: 'pods', namespace: 'shop', name: 'cart-1' } as const;

let server: https.Server | undefined;
afterEach(() => {
  server?.closeAllConnections();
  server?.close();
});

/** An API server that answers who is asking, and 401 whoever has no token of these. */
async function startApi(...tokens: readonly string[]): Promise<{ url: string; seen: string[] }> {
  const seen: string[] = [];
  const keys = { key: tlsFile('server.key'), cert: tlsFile('server.crt'), ca: tlsFile('ca.crt') };
  server = https.createServer(
    { ...keys, requestCert: true, rejectUnauthorized: false },
    (request, response) => {
      const { socket } = request;
      if (!(socket instanceof TLSSocket)) throw new Error('not over TLS');
      const token = request.headers.authorization ?? '';
      const name = socket.authorized ? String(socket.getPeerCertificate().subject.CN) : token;
      seen.push(name);
      const known = socket.authorized || tokens.includes(token.replace('Bearer ', ''));
      response.writeHead(known ? 201 : 401, { 'content-type': 'application/json' });
      const userInfo = { username: name, groups: ['heapcatch-cloud-functions'] };
      response.end(JSON.stringify(known ? { status: { userInfo } } : { message: 'Unauthorized' }));
    },
  );
  await new Promise<void>((resolve) => server?.listen(0, '127.0.0.1', resolve));
  return { url: `https://127.0.0.1:${(server.address() as AddressInfo).port}`, seen };
}

function registered(
  url: string,
  credentials: (fresh: boolean | undefined) => ClusterCredentials,
  authority = 'server.crt',
): RegisteredCluster {
  return {
    access: {
      ...{ schemaVersion: 1, server: url, certificateAuthority: tlsFile(authority) },
      identity: { kind: 'secret', secretName: 's' },
      registeredTime: '2026-01-01T00:00:00.000Z',
    },
    credentials: (options) => Promise.resolve(credentials(options?.fresh)),
  };
}

describe('a registered cluster', () => {
  it('is asked with its token, as often as there is one', async () => {
    const { url, seen } = await startApi('t1');

    const answer = await new ClusterConnection(registered(url, () => ({ token: 't1' }))).request(
      call,
    );

    expect(answer.status).toBe(201);
    expect(seen).toEqual(['Bearer t1']);
  });

  it('is asked again, once, with fresh credentials when it refused the ones that were kept', async () => {
    const { url, seen } = await startApi('new');
    const connection = (token: string) =>
      new ClusterConnection(registered(url, (fresh) => ({ token: fresh ? token : 'old' })));

    expect((await connection('new').request(call)).status).toBe(201);
    await expect(connection('wrong').request(call)).rejects.toMatchObject({
      ...{ code: 'ClusterForbidden', retryable: false },
    });
    expect(seen).toEqual(['Bearer old', 'Bearer new', 'Bearer old', 'Bearer wrong']);
  });

  it('is asked with a client certificate', async () => {
    const { url, seen } = await startApi();
    const clientCertificate = tlsFile('client.crt');
    const credentials = { clientCertificate, clientKey: tlsFile('client.key') };

    await new ClusterConnection(registered(url, () => credentials)).request(call);

    expect(seen).toEqual(['client']);
  });

  it('is sent nothing when its certificate is not of the pinned authority', async () => {
    const { url, seen } = await startApi('t1');
    const stranger = registered(url, () => ({ token: 't1' }), 'server-2.crt');

    await expect(new ClusterConnection(stranger).request(call)).rejects.toMatchObject({
      ...{ code: 'ClusterUnavailable', retryable: true },
    });
    expect(seen).toEqual([]);
  });

  it('says who one is, and when it does not know', async () => {
    const { url } = await startApi('t1');

    expect(await reviewSelf(registered(url, () => ({ token: 't1' })))).toEqual({
      ...{ userName: 'Bearer t1', groups: ['heapcatch-cloud-functions'] },
    });
    expect(await reviewSelf(registered(url, () => ({ token: 'x' })))).toBe('refused');
  });
});
