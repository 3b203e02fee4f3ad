import { beforeEach, describe, expect, it } from '@jest/globals';
import { loadAllYaml } from '@kubernetes/client-node';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { doctorCommand, roundTrip } from '../../lib/cli/doctor/command.ts';
import type { Finding } from '../../lib/cli/doctor/doctor-facts.ts';
import type { DoctorIo } from '../../lib/cli/doctor/gather.ts';
import { reasonOf } from '../../lib/cli/doctor/judge-aws.ts';
import {
  agentExecRights,
  ephemeralRights,
  forwarderClusterRights,
  forwarderRights,
  functionOwnRights,
  functionRights,
  rightText,
} from '../../lib/cli/doctor/needed-rights.ts';
import type { Installation, Right } from '../../lib/kubernetes/installation.ts';

type Outside = Omit<DoctorIo, 'openCluster'> & { openCluster: () => unknown };

const image = 'registry/heapcatch:1';
const workload = { wantedCount: 2, readyCount: 2, image };
const secretUntil = (expireTime: string): string =>
  JSON.stringify({
    ...{ schemaVersion: 1, server: 'https://a.example', registeredTime: '2026-01-01T00:00:00Z' },
    certificateAuthority: readFileSync(
      path.join(import.meta.dirname, '../forwarder/fixtures/tls/ca.crt'),
      'utf8',
    ),
    identity: { kind: 'secret', secretName: 'heapcatch/dev/clusters/eu-1', expireTime },
  });

let io: Outside;
let installation: Installation;
let denied: (right: Right & { user: string }) => boolean;
let invoked: unknown[];

/** Everything holds. */
beforeEach(() => {
  denied = () => false;
  invoked = [];
  installation = {
    readNamespaceLabels: given({ 'pod-security.kubernetes.io/enforce': 'privileged' }),
    readForwarder: given(workload),
    readAgent: given(workload),
    readForwarderConfig: given({
      ...{ HEAPCATCH_CLUSTER_NAME: 'eu-1', HEAPCATCH_EVENT_BUS_NAME: 'heapcatch-dev' },
      ...{ AWS_REGION: 'eu-central-1', HEAPCATCH_NAMESPACES: '' },
    }),
    hasJvmMonitors: given(true),
    mayDo: ({ user }, right) => Promise.resolve(!denied({ ...right, user })),
    readForwarderMetrics: given([
      '# HELP heapcatch_signals_sent_total x\nheapcatch_signals_sent_total 2\nheapcatch_spool_entries 0\n',
      'heapcatch_signals_sent_total 3\nheapcatch_signals_failed_total{reason="x"} 0\n',
    ]),
  };
  io = {
    readCaller: given({ arn: 'arn:aws:iam::1:user/ann', region: 'eu-central-1' }),
    readOutputs: given({
      ...{ DumpBucketName: 'b', ClaimTableName: 't', SignalBusName: 'heapcatch-dev' },
      ...{ CaptureFunctionName: 'c', SealFunctionName: 's', SweepFunctionName: 'w' },
      ...{ CaptureDeadLettersUrl: 'qc', SealDeadLettersUrl: 'qs', SweepDeadLettersUrl: 'qw' },
    }),
    inspectBucket: given({ encryption: 'aws:kms', publicAccessBlocked: true }),
    roundTrip: given('same'),
    inspectTable: given({ status: 'ACTIVE', indexNames: ['open-captures'] }),
    inspectFunction: given({
      ...{ state: 'Active', lastUpdateStatus: 'Successful', agentImage: image },
    }),
    inspectQueue: given({ waitingCount: 0 }),
    listRegistrations: given([
      {
        clusterName: 'eu-1',
        text: secretUntil('2027-01-01T00:00:00Z'),
        modifiedTime: '2026-01-01T00:00:00Z',
      },
    ]),
    invoke: (_name, payload) => {
      invoked.push(payload);
      const answer = { decision: 'skip', reason: 'PodNotFound', message: 'no such pod' };
      return Promise.resolve({ answers: [answer] });
    },
    openCluster: () => ({ contextName: 'prod', server: 'https://a.example', installation }),
    now: () => new Date('2026-02-01T00:00:00Z'),
  };
});

async function examine(words = ''): Promise<{ code: number; out: string; errors: string }> {
  let out = '';
  let errors = '';
  const code = await doctorCommand(words === '' ? [] : words.split(' '), {
    outsideOf: () => io as DoctorIo,
    write: (text) => void (out += text),
    writeError: (text) => void (errors += text),
  });
  return { code, out, errors };
}

async function findings(words = ''): Promise<{ code: number; of: Record<string, Finding> }> {
  const { code, out } = await examine(`${words} --json`.trim());
  const report = JSON.parse(out) as { findings: Finding[] };
  return { code, of: Object.fromEntries(report.findings.map((one) => [one.link, one])) };
}

/** What answers so, whatever it is asked. */
function given<T>(value: T): () => Promise<T> {
  return () => Promise.resolve(value);
}

const failing = (message: string) => () => Promise.reject(new Error(message));

describe('heapcatch doctor', () => {
  it('finds that all links hold, one line each', async () => {
    const { code, out } = await examine();

    expect(code).toBe(0);
    const lines = out.trimEnd().split('\n');
    expect(lines).toHaveLength(24);
    expect(lines.slice(0, 22).filter((line) => !line.startsWith('ok '))).toEqual([]);
    expect(lines.at(-1)).toBe('22 ok, 0 warnings, 0 failed, 0 not looked at');
  });

  it('has the function itself read a pod that is not there, without capturing', async () => {
    await examine('--namespace ops');

    expect(invoked).toEqual([
      { cluster: 'eu-1', namespace: 'ops', pod: 'heapcatch-doctor', dryRun: true },
    ]);
  });

  it('looks at nothing in AWS without credentials, and still at the cluster', async () => {
    io.readCaller = failing('Could not load credentials');

    const { code, of } = await findings();

    expect(code).toBe(1);
    expect(of['AWS credentials']).toMatchObject({
      ...{ state: 'failed', says: 'Could not load credentials' },
      advice: expect.stringContaining('aws sso login'),
    });
    expect(of['bucket']).toMatchObject({ state: 'notLookedAt' });
    expect(of['cluster API, from the function']).toMatchObject({ state: 'notLookedAt' });
    expect(of['forwarder']).toMatchObject({ state: 'ok' });
  });

  const cases: [string, string, Finding['state'], string, () => void][] = [
    ['no stack', 'stack', 'failed', 'no stack', () => (io.readOutputs = failing('no stack x'))],
    [
      'a bucket open to the public',
      'bucket',
      'failed',
      'public access',
      () => (io.inspectBucket = given({ encryption: 'aws:kms', publicAccessBlocked: false })),
    ],
    [
      'a bucket without a key of its own',
      'bucket',
      'warning',
      'AES256',
      () => (io.inspectBucket = given({ encryption: 'AES256', publicAccessBlocked: true })),
    ],
    [
      'an object that comes back otherwise',
      'round trip of an object',
      'failed',
      'not what was put',
      () => (io.roundTrip = given('different')),
    ],
    [
      'a table without its index',
      'claim table',
      'failed',
      'open-captures',
      () => (io.inspectTable = given({ status: 'ACTIVE', indexNames: [] })),
    ],
    [
      'a function whose update failed',
      'function seal',
      'failed',
      'last update failed',
      () =>
        (io.inspectFunction = given({
          ...{ state: 'Active', lastUpdateStatus: 'Failed', agentImage: image },
        })),
    ],
    [
      'dead letters, with the reason of one',
      'dead letters of capture',
      'warning',
      '3 wait; of one: Cannot get pods: no connection within 5 s. Tried 5 times within 33 s.',
      () =>
        (io.inspectQueue = given({
          waitingCount: 3,
          sample: {
            attributes: {},
            body: JSON.stringify({
              responsePayload: {
                errorMessage:
                  'Cannot get pods: no connection within 5 s. Tried 5 times within 33 s.',
              },
            }),
          },
        })),
    ],
    [
      'credentials that end soon',
      'registered cluster',
      'warning',
      '2026-02-10',
      () =>
        (io.listRegistrations = given([
          {
            ...{ clusterName: 'eu-1', text: secretUntil('2026-02-10T00:00:00Z') },
            modifiedTime: undefined,
          },
        ])),
    ],
    [
      'credentials that are over',
      'registered cluster',
      'failed',
      'ended at 2026-01-31',
      () =>
        (io.listRegistrations = given([
          {
            ...{ clusterName: 'eu-1', text: secretUntil('2026-01-31T00:00:00Z') },
            modifiedTime: undefined,
          },
        ])),
    ],
    [
      'no registered cluster',
      'registered cluster',
      'failed',
      'registered are: none',
      () => (io.listRegistrations = given([])),
    ],
    [
      'a function that the cluster does not let in',
      'cluster API, from the function',
      'failed',
      'HTTP 401',
      () =>
        (io.invoke = given({
          answers: [{ decision: 'failed', reason: 'ClusterForbidden', message: 'HTTP 401' }],
        })),
    ],
    [
      'a function that cannot reach the API',
      'cluster API, from the function',
      'failed',
      'no connection within 5 s',
      () => (io.invoke = failing('c failed: no connection within 5 s')),
    ],
    [
      'a namespace whose standard keeps the agent out',
      'namespace',
      'failed',
      'restricted does not let the node agent in',
      () =>
        (installation.readNamespaceLabels = given({
          'pod-security.kubernetes.io/enforce': 'restricted',
        })),
    ],
    [
      'a namespace that is weaker than it need be',
      'namespace',
      'warning',
      'privileged',
      () => (installation.readAgent = given(undefined)),
    ],
    [
      'a forwarder that is not installed',
      'forwarder',
      'failed',
      'is not there',
      () => (installation.readForwarder = given(undefined)),
    ],
    [
      'a forwarder that is half there',
      'forwarder',
      'warning',
      '1 of 2 ready',
      () => (installation.readForwarder = given({ ...workload, readyCount: 1 })),
    ],
    [
      'a forwarder that sends to another bus',
      'forwarder and stack',
      'failed',
      'HEAPCATCH_EVENT_BUS_NAME is heapcatch-old, not heapcatch-dev',
      () =>
        (installation.readForwarderConfig = given({
          ...{ HEAPCATCH_CLUSTER_NAME: 'eu-1', HEAPCATCH_EVENT_BUS_NAME: 'heapcatch-old' },
          AWS_REGION: 'eu-central-1',
        })),
    ],
    [
      'an agent of another version',
      'way to the JVM',
      'warning',
      'heapcatch:0',
      () => (installation.readAgent = given({ ...workload, image: 'registry/heapcatch:0' })),
    ],
    [
      'no way to a JVM',
      'way to the JVM',
      'failed',
      'no agent on the nodes',
      () => {
        installation.readAgent = given(undefined);
        denied = ({ resource }) => resource === 'pods/ephemeralcontainers';
      },
    ],
    [
      'ephemeral containers without an image',
      'way to the JVM',
      'failed',
      'know no image',
      () => {
        installation.readAgent = given(undefined);
        io.inspectFunction = given({
          ...{ state: 'Active', lastUpdateStatus: 'Successful', agentImage: undefined },
        });
      },
    ],
    [
      'a right that the functions have not',
      'rights of the functions',
      'failed',
      'missing: get jobs.batch in all namespaces',
      () => (denied = ({ resource }) => resource === 'jobs'),
    ],
    [
      'a forwarder without a right in the whole cluster',
      'rights of the forwarder',
      'warning',
      'cannot ask whose a token is',
      () => (denied = ({ resource }) => resource === 'tokenreviews'),
    ],
    [
      'no definition of JvmMonitor',
      'JvmMonitor resource',
      'warning',
      'annotations of pods alone count',
      () => (installation.hasJvmMonitors = given(false)),
    ],
    [
      'rights that cannot be asked for',
      'rights of the forwarder',
      'warning',
      'forbidden',
      () => (installation.mayDo = failing('forbidden')),
    ],
    [
      'signals that the bus does not take',
      'bus, from the forwarder',
      'failed',
      '7 signals wait, 0 were sent',
      () => (installation.readForwarderMetrics = given(['heapcatch_spool_entries 7\n'])),
    ],
    [
      'signals that were given up',
      'bus, from the forwarder',
      'warning',
      '2 signals were given up',
      () =>
        (installation.readForwarderMetrics = given([
          'heapcatch_signals_failed_total{reason="a b"} 2\n',
        ])),
    ],
  ];
  it.each(cases)('finds %s, and says what to do', async (_case, link, state, says, breakIt) => {
    breakIt();

    const { code, of } = await findings();

    expect(of[link]).toMatchObject({ state, says: expect.stringContaining(says) });
    expect(of[link]?.advice).toBeTruthy();
    const others = Object.values(of).filter((one) => one.link !== link && one.state === 'failed');
    expect(code).toBe(state === 'failed' || others.length > 0 ? 1 : 0);
  });

  it('asks for rights in the namespaces that the forwarder watches', async () => {
    const config = { HEAPCATCH_NAMESPACES: 'shop, pay' };
    installation.readForwarderConfig = given(config);
    denied = ({ namespace, resource }) => namespace === '' && resource === 'pods';

    const { of } = await findings();

    expect(of['rights of the forwarder']?.state).toBe('ok');
    expect(of['rights of the functions']?.state).toBe('ok');
    expect(invoked).toMatchObject([{ namespace: 'shop' }]);
  });

  it('wants to be told which of several clusters, and takes it', async () => {
    const text = secretUntil('2027-01-01T00:00:00Z');
    io.listRegistrations = given(
      ['eu-1', 'us-1'].map((clusterName) => ({ clusterName, text, modifiedTime: undefined })),
    );

    expect((await findings()).of['registered cluster']?.says).toBe('registered are: eu-1, us-1');
    expect((await findings('--cluster eu-1')).code).toBe(0);
  });

  it('draws nothing on the terminal that a service says', async () => {
    io.readOutputs = failing('no \u001b[31mstack\nok       all is well');

    const { out } = await examine();

    expect(out).not.toContain('\u001b');
    expect(out).toContain('FAILED   stack');
    expect(out).not.toMatch(/^ok {7}all is well/m);
  });

  it('does not understand other words', async () => {
    const { code, errors } = await examine('--stage a/b');
    expect([code, errors]).toEqual([2, expect.stringContaining('--stage is "a/b"')]);
  });
});

describe('the round trip', () => {
  it.each(['same', 'different'] as const)('answers %s, and leaves nothing behind', async (kind) => {
    const stored = new Map<string, Uint8Array>();
    const answer = await roundTrip(
      {
        putObject: (key, body) => {
          stored.set(key, kind === 'same' ? body : Buffer.from('x'));
          return Promise.resolve('written');
        },
        getObject: (key) => Promise.resolve(stored.get(key)),
        deleteObject: (key) => {
          stored.delete(key);
          return Promise.resolve();
        },
      },
      'n1',
    );

    expect([answer, stored.size]).toEqual([kind, 0]);
  });
});

describe('the reason of a dead letter', () => {
  it.each([
    ['{"requestContext":{"condition":"RetriesExhausted"}}', {}, 'RetriesExhausted'],
    ['{}', { ERROR_CODE: 'NO_PERMISSIONS', ERROR_MESSAGE: 'may not invoke' }, 'may not invoke'],
    ['no json', {}, 'it gives no reason'],
    ['[]', {}, 'it gives no reason'],
  ])('is read of %s with %j', (body, attributes, reason) => {
    expect(reasonOf({ body, attributes })).toBe(reason);
  });
});

describe('the rights that the doctor asks for', () => {
  interface Role {
    kind: string;
    metadata: { name: string };
    rules?: { apiGroups: string[]; resources: string[]; verbs: string[] }[];
  }
  const infra = path.join(import.meta.dirname, '../../infra/kubernetes');
  const granted = (file: string, role: string, kind: string): string[] =>
    (loadAllYaml(readFileSync(path.join(infra, file), 'utf8')) as Role[])
      .filter((one) => one.kind === kind && one.metadata.name === role)
      .flatMap(({ rules = [] }) => rules)
      .flatMap(({ apiGroups, resources, verbs }) =>
        resources.flatMap((resource) =>
          verbs.map((verb) =>
            rightText({ ...{ group: apiGroups[0] ?? '', resource, verb }, namespace: '' }),
          ),
        ),
      )
      .sort();
  const asked = (...rights: readonly (readonly Omit<Right, 'namespace'>[])[]): string[] =>
    rights
      .flat()
      .map((right) => rightText({ ...right, namespace: '' }))
      .sort();

  it('are those that the manifests grant', () => {
    expect(asked(forwarderRights, forwarderClusterRights)).toEqual(
      granted('base/forwarder.yaml', 'heapcatch-forwarder', 'ClusterRole'),
    );
    expect(granted('base/functions-access.yaml', 'heapcatch-functions', 'ClusterRole')).toEqual(
      expect.arrayContaining(asked(functionRights)),
    );
    expect(granted('base/functions-access.yaml', 'heapcatch-functions', 'Role')).toEqual(
      asked(functionOwnRights),
    );
    const components = 'components/node-agent/agent.yaml';
    expect(granted(components, 'heapcatch-agent-exec', 'Role')).toEqual(asked(agentExecRights));
    expect(
      granted(
        'components/ephemeral-container/access.yaml',
        'heapcatch-ephemeral-containers',
        'ClusterRole',
      ),
    ).toEqual(asked(ephemeralRights));
  });
});
