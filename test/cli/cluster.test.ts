import { readFileSync } from 'node:fs';
import path from 'node:path';
import { beforeEach, describe, expect, it } from '@jest/globals';
import type { Registration } from '../../lib/aws/cluster-registrations.ts';
import { clusterCommand, type StageIo } from '../../lib/cli/cluster/command.ts';
import type { ClusterAccess, ClusterCredentials } from '../../lib/cluster-access.ts';
import { CaptureError } from '../../lib/errors.ts';
import type { KubeContext } from '../../lib/kubernetes/kube-context.ts';
import type { ReviewedUser } from '../../lib/kubernetes/self-review.ts';

const tlsFile = (name: string): string =>
  readFileSync(path.join(import.meta.dirname, '../forwarder/fixtures/tls', name), 'utf8');
const authority = tlsFile('ca.crt');
const now = new Date('2026-01-01T00:00:00Z');
/** A token as Kubernetes makes them, signed by nobody. */
const tokenUntil = (time?: string): string => {
  const claims = time === undefined ? {} : { exp: Date.parse(time) / 1_000 };
  return `eyJhbGciOiJSUzI1NiJ9.${Buffer.from(JSON.stringify(claims)).toString('base64url')}.c2ln`;
};
const account = 'system:serviceaccount:heapcatch:heapcatch-functions';

/** The outside of the command, as far as a test does not say otherwise. */
class World {
  files: Record<string, string> = { '-': `${tokenUntil()}\n`, 'ca.pem': authority };
  context: Partial<KubeContext> = {};
  reviewed: ReviewedUser | 'refused' | 'unknown' | Error = { userName: account, groups: [] };
  outputs: Readonly<Record<string, string>> | Error = new Error('no stack');
  listed: Registration[] = [];
  removed = true;
  readonly written: [string, ClusterAccess, ClusterCredentials | undefined][] = [];
  readonly asked: string[] = [];
  out = '';
  errors = '';

  async run(words: string): Promise<number> {
    return clusterCommand(words.split(' '), {
      stageOf: ({ stage }) => this.#stage(stage),
      write: (text) => void (this.out += text),
      writeError: (text) => void (this.errors += text),
    });
  }

  #stage(stage: string): StageIo {
    const result = <T>(value: T | Error): Promise<T> =>
      value instanceof Error ? Promise.reject(value) : Promise.resolve(value);
    return {
      readFile: (file) => result(this.files[file] ?? new Error(`no such file: ${file}`)),
      kubeContext: (contextName = 'current') => ({
        ...{ contextName, server: `https://${contextName}.example:6443` },
        ...{ certificateAuthority: authority, tlsServerName: undefined, skipsVerification: false },
        ...{ kubeconfig: '', ...this.context },
      }),
      describeEks: (name, region) => {
        this.asked.push(`eks ${name} ${region}`);
        const server = 'https://ABC.gr7.eu-central-1.eks.amazonaws.com';
        return Promise.resolve({
          ...{ server, certificateAuthority: authority, publicEndpoint: true },
          authenticationMode: 'API',
        });
      },
      region: () => Promise.resolve('eu-central-1'),
      registrations: {
        list: () => Promise.resolve(this.listed),
        write: (name, access, credentials) => {
          this.written.push([name, access, credentials]);
          return Promise.resolve();
        },
        remove: () => Promise.resolve(this.removed),
      },
      secretNameOf: (name) => `heapcatch/${stage}/clusters/${name}`,
      credentialsOf: () => () => Promise.resolve({ token: 'own' }),
      reviewSelf: async ({ access, credentials }) => {
        this.asked.push(`${access.server} with ${JSON.stringify(await credentials())}`);
        return result(this.reviewed);
      },
      stackOutputs: () => result(this.outputs),
      now: () => now,
    };
  }
}

let world: World;
beforeEach(() => void (world = new World()));

describe('heapcatch cluster add', () => {
  it('registers a cluster of the kubeconfig by a token, and shows nothing of that', async () => {
    const code = await world.run('add eu-1 --token-file - --context prod --stage prod');

    expect([code, world.errors]).toEqual([0, '']);
    expect(world.written).toEqual([
      [
        'eu-1',
        {
          ...{ schemaVersion: 1, server: 'https://prod.example:6443' },
          certificateAuthority: authority.trim(),
          identity: { kind: 'secret', secretName: 'heapcatch/prod/clusters/eu-1' },
          registeredTime: '2026-01-01T00:00:00.000Z',
        },
        { token: tokenUntil() },
      ],
    ]);
    expect(world.asked).toEqual([
      `https://prod.example:6443 with ${JSON.stringify({ token: tokenUntil() })}`,
    ]);
    expect(world.out).toContain(`answers, and knows these credentials as ${account}`);
    expect(world.out).not.toMatch(/warning|eyJ/);
  });

  it('registers an EKS cluster by IAM, and says how to let the roles in', async () => {
    const arn = (name: string) => `arn:aws:iam::1:role/${name}`;
    world.outputs = {
      ...{ CaptureRoleArn: arn('c'), SealRoleArn: arn('s') },
      SweepRoleArn: arn('w'),
    };
    world.reviewed = 'refused';

    const code = await world.run('add shop --eks shop_1 --eks-region eu-west-1');

    expect([code, world.errors]).toEqual([0, '']);
    expect(world.written[0]?.slice(1)).toMatchObject([
      {
        server: 'https://ABC.gr7.eu-central-1.eks.amazonaws.com',
        identity: { kind: 'eks', eksClusterName: 'shop_1', region: 'eu-west-1' },
      },
      undefined,
    ]);
    expect(world.asked[0]).toBe('eks shop_1 eu-west-1');
    expect(world.out.match(/aws eks create-access-entry.*/g)).toEqual(
      ['c', 's', 'w'].map(
        (name) =>
          `aws eks create-access-entry --region eu-west-1 --cluster-name shop_1 --principal-arn ${arn(name)} --kubernetes-groups heapcatch-cloud-functions`,
      ),
    );
  });

  it('registers by a client certificate, and says when that ends', async () => {
    Object.assign(world.files, { crt: tlsFile('client.crt'), key: tlsFile('client.key') });
    world.reviewed = { userName: 'client', groups: ['heapcatch-cloud-functions'] };

    const words = 'add eu-1 --client-certificate crt --client-key key --json';
    expect(await world.run(words)).toBe(0);

    expect(world.written[0]?.[2]).toEqual({
      ...{ clientCertificate: tlsFile('client.crt'), clientKey: tlsFile('client.key') },
    });
    expect(JSON.parse(world.out)).toMatchObject({
      identity: { kind: 'secret', expireTime: expect.stringMatching(/^21\d\d-/) },
      user: { userName: 'client' },
      warnings: [],
    });
    expect(world.out).not.toContain('PRIVATE KEY');
  });

  it('takes endpoint, authority and name as they are given', async () => {
    const where = '--server https://10.0.0.1:6443 --certificate-authority ca.pem';

    expect(await world.run(`add eu-1 --token-file - ${where} --tls-server-name kubernetes`)).toBe(
      0,
    );

    expect(world.written[0]?.[1]).toMatchObject({
      ...{ server: 'https://10.0.0.1:6443', tlsServerName: 'kubernetes' },
    });
  });

  it.each<[string, ReviewedUser | 'refused' | 'unknown' | Error, string]>([
    [
      'does not answer',
      new CaptureError('ClusterUnavailable', 'Cannot create: connect ECONNREFUSED 10.0.0.1:6443.', {
        ...{ retryable: true, cause: Object.assign(new Error('x'), { code: 'ECONNREFUSED' }) },
      }),
      'nothing listens there',
    ],
    [
      'is another one',
      new CaptureError('ClusterUnavailable', 'Cannot create: self-signed certificate.', {
        ...{
          retryable: true,
          cause: Object.assign(new Error('x'), { code: 'SELF_SIGNED_CERT_IN_CHAIN' }),
        },
      }),
      'not of this authority',
    ],
    ['does not take the credentials', 'refused', 'does not take these credentials (HTTP 401)'],
  ])('writes nothing when the API %s', async (_case, reviewed, says) => {
    world.reviewed = reviewed;

    expect(await world.run('add eu-1 --token-file -')).toBe(1);

    expect(world.written).toEqual([]);
    expect(world.errors).toContain(says);
  });

  it('asks nobody with --skip-check, and says so', async () => {
    expect(await world.run('add eu-1 --token-file - --skip-check')).toBe(0);

    expect(world.asked).toEqual([]);
    expect(world.written).toHaveLength(1);
    expect(world.out).toContain('not checked');
  });

  it.each<[string, Partial<World>, string]>([
    [
      'may do everything',
      { reviewed: { userName: 'kubernetes-admin', groups: ['system:masters'] } },
      'kubernetes-admin may do everything in the cluster',
    ],
    [
      'is not bound to the roles',
      { reviewed: { userName: 'somebody', groups: [] } },
      "heapcatch's roles are not bound to somebody",
    ],
    [
      'ends within a month',
      { files: { '-': tokenUntil('2026-01-03T12:00:00Z') } },
      'end at 2026-01-03T12:00:00.000Z, in 2 days',
    ],
  ])('warns of an identity that %s', async (_case, changes, says) => {
    Object.assign(world, changes);

    expect(await world.run('add eu-1 --token-file -')).toBe(0);

    expect(world.out).toContain(`warning: `);
    expect(world.out).toContain(says);
  });

  it.each<[string, string, Partial<World>, string]>([
    ['no identity', 'add eu-1', {}, 'accepted is one of --eks'],
    ['two identities', 'add eu-1 --eks a --token-file -', {}, 'accepted is one of --eks'],
    ['a certificate without its key', 'add eu-1 --client-certificate crt', {}, 'go together'],
    ['a server without an authority', 'add eu-1 --eks a --server https://a', {}, 'go together'],
    ['a name that is none', 'add ../x --eks a', {}, 'NAME is "../x"'],
    ['no verb', 'ad eu-1', {}, 'accepted are: add, list, show, remove'],
    ['a word that is none', 'add eu-1 --eks a --tokn x', {}, '--tokn'],
    ['a token that is none', 'add eu-1 --token-file -', { files: { '-': 'two words' } }, 'in -'],
    [
      'a token that is over',
      'add eu-1 --token-file -',
      { files: { '-': tokenUntil('2025-12-31T00:00:00Z') } },
      'ended at 2025-12-31',
    ],
    [
      'a context that verifies nobody',
      'add eu-1 --token-file -',
      { context: { skipsVerification: true } },
      'insecure-skip-tls-verify',
    ],
    [
      'a context without an authority',
      'add eu-1 --token-file -',
      { context: { certificateAuthority: undefined } },
      'names no certificate authority',
    ],
    [
      'an authority that is none',
      'add eu-1 --token-file -',
      { context: { certificateAuthority: 'x' } },
      'certificateAuthority',
    ],
    [
      'plain http',
      'add eu-1 --token-file -',
      { context: { server: 'http://a' } },
      'accepted is an https URL',
    ],
  ])('refuses %s', async (_case, words, changes, says) => {
    Object.assign(world, changes);

    expect(await world.run(words)).toBe(2);

    expect([world.written, world.asked]).toEqual([[], []]);
    expect(world.errors).toContain(says);
    expect(world.errors).not.toContain('eyJ');
  });
});

describe('heapcatch cluster list, show and remove', () => {
  const access = (identity: ClusterAccess['identity']): string =>
    JSON.stringify({
      ...{ schemaVersion: 1, server: 'https://a.example', certificateAuthority: authority },
      ...{ identity, registeredTime: '2025-12-01T00:00:00.000Z' },
    });
  const registration = (clusterName: string, text: string): Registration => ({
    ...{ clusterName, text, modifiedTime: '2025-12-02T00:00:00.000Z' },
  });

  beforeEach(() => {
    const expireTime = '2026-01-11T00:00:00.000Z';
    world.listed = [
      registration('eks', access({ kind: 'eks', eksClusterName: 'shop', region: 'eu-west-1' })),
      registration('hand', 'kind: Config\nusers: [{user: {token: eyJsecret}}]'),
      registration('odd', '{"schemaVersion":2}'),
      registration('own', access({ kind: 'secret', secretName: 'heapcatch/dev/own', expireTime })),
    ];
  });

  it('list all of them, whatever form they have, without a secret', async () => {
    expect(await world.run('list')).toBe(0);

    expect(world.out.split('\n')).toEqual([
      expect.stringMatching(/^NAME {2}IDENTITY +SERVER$/),
      expect.stringMatching(/^eks {3}IAM, EKS shop in eu-west-1 +https:\/\/a\.example$/),
      expect.stringMatching(/^hand {2}whole kubeconfig in the parameter +-$/),
      expect.stringMatching(/^odd {3}faulty: the registration of cluster odd is not valid.* -$/),
      expect.stringMatching(/^own {3}secret heapcatch\/dev\/own \(ends in 10 days\) +https/),
      '',
    ]);
  });

  it('show one, for people and for programs', async () => {
    expect(await world.run('show own')).toBe(0);
    expect(world.out).toContain('registered:  2025-12-01T00:00:00.000Z');
    world.out = '';
    expect(await world.run('show hand --json')).toBe(0);
    expect(JSON.parse(world.out)).toEqual({
      ...{ clusterName: 'hand', identity: { kind: 'kubeconfig' } },
      registeredTime: '2025-12-02T00:00:00.000Z',
    });
  });

  it('answer by exit code 1 that there is none of that name', async () => {
    world.removed = false;

    expect(await world.run('show us-1')).toBe(1);
    expect(await world.run('remove us-1')).toBe(1);

    expect(world.errors).toContain('registered are: eks, hand, odd, own');
    expect(world.errors).toContain('us-1 is not registered');
  });

  it('remove one', async () => {
    expect(await world.run('remove own')).toBe(0);
    expect(world.out).toBe('cluster own is removed\n');
  });
});
