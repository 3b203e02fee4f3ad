import { beforeEach, describe, expect, it } from '@jest/globals';
import { createHandler } from '../../functions/capture.ts';
import { sealCapture } from '../../lib/capture/seal.ts';
import { dump } from '../../lib/cli/dump/command.ts';
import { watch } from '../../lib/cli/watch/command.ts';
import { indexKey } from '../../lib/dump-index/object-keys.ts';
import { CaptureError } from '../../lib/errors.ts';
import { createLogger } from '../../lib/log.ts';
import { registeredName } from '../../lib/kubernetes/context-place.ts';
import { podFacts } from '../capture/fake-cluster.ts';
import { World } from '../capture/world.ts';
import { FakeIo } from './capture-fixture.ts';

let world: World;
let io: FakeIo;
let requests: unknown[];

/** The real function, over everything in memory. */
function invoke(payload: unknown): Promise<unknown> {
  requests.push(payload);
  const handler = createHandler(() => ({
    config: {
      ...{ tableName: 'claims', bucketName: 'dumps', clusterParameterPrefix: '/clusters' },
      ...{ agentImage: 'heapcatch:1', agentNamespace: 'heapcatch', agentCommand: ['agent'] },
      ...{ retention: { maxDays: 90 }, stage: 'dev' },
    },
    ...{ claims: world.claims, objects: world.objects },
    clusterOf: () => Promise.resolve(world.cluster),
    listClusters: () => Promise.resolve(['prod']),
    clock: () => new Date(world.nowMillis),
    logger: createLogger('test', { write: () => undefined }),
  }));
  const context = { awsRequestId: 'request-1', getRemainingTimeInMillis: () => 60_000 };
  return handler(JSON.parse(JSON.stringify(payload)), context);
}

async function runAgentAndSeal(): Promise<void> {
  await world.runAgent();
  const { captureId, objectPrefix } = await world.record();
  await sealCapture(world.finishDeps(), { captureId, prefixes: [objectPrefix] });
}

beforeEach(() => {
  world = new World();
  requests = [];
  io = new FakeIo(world.objects, { claims: world.claims, invokeCapture: invoke });
  io.now = () => new Date(world.nowMillis);
});

/** What happens while the command pauses, one after the other; then it is interrupted. */
function whilePausing(...steps: (() => Promise<unknown>)[]): void {
  io.pause = async (millis) => {
    world.advance(millis / 1_000);
    const step = steps.shift();
    if (step === undefined) io.stopper.abort(new Error('interrupted'));
    else await step();
    io.stop.throwIfAborted();
  };
}

describe('heapcatch dump', () => {
  it('asks for a capture, and says what was decided and where the result will be', async () => {
    expect([await dump(['cart-1'], io), io.errors]).toEqual([0, '']);

    const { captureId, acquireTime } = await world.record();
    expect(requests).toEqual([{ pod: 'cart-1' }]);
    expect(io.out).toContain('decision  dump, Started\n');
    expect(io.out).toContain(`result    s3://dumps/${indexKey({ captureId, acquireTime })}\n`);
    expect(io.out).toContain('next      the agent is at work');
  });

  it('only asks in a dry run', async () => {
    expect(await dump(['pod/cart-1', '-n', 'shop', '-c', 'app', '--dry-run', '--wait'], io)).toBe(
      0,
    );

    expect(requests).toEqual([
      { pod: 'cart-1', namespace: 'shop', container: 'app', dryRun: true },
    ]);
    expect(world.cluster.execCommands).toEqual([]);
  });

  it.each([
    ['skip', () => (world.cluster.pod = undefined), 3, 'skip, PodNotFound'],
    [
      'failure',
      () => (world.cluster.pod = podFacts({ annotations: { 'heapcatch.dev/encrypt': 'true' } })),
      1,
      'failed, EncryptionUnavailable',
    ],
  ])('tells a %s by its exit code', async (_what, prepare, exitCode, decision) => {
    prepare();

    expect(await dump(['cart-1', '-n', 'shop', '--cluster', 'prod'], io)).toBe(exitCode);

    expect(io.out).toContain(decision);
  });

  it('follows the capture until it is sealed', async () => {
    whilePausing(() => Promise.resolve(), runAgentAndSeal);

    expect(await dump(['cart-1', '--wait'], io)).toBe(0);

    expect(io.out).toMatch(/\nstate +complete\n/);
  });

  it('writes one JSON object, with the index entry of what it waited for', async () => {
    whilePausing(runAgentAndSeal);

    expect(await dump(['cart-1', '--wait', '--json'], io)).toBe(0);

    expect(JSON.parse(io.out)).toMatchObject({
      kind: 'CaptureAnswer',
      answer: { decision: 'dump', reason: 'Started' },
      entry: { state: 'complete' },
    });
    expect(io.errors).toBe('');
  });

  it('tells by its exit code that the capture is not complete', async () => {
    whilePausing(async () => {
      await world.runAgent({ endRecord: false });
      const { captureId, objectPrefix } = await world.record();
      await sealCapture(world.finishDeps(), { captureId, prefixes: [objectPrefix] });
    });

    expect(await dump(['cart-1', '--wait'], io)).toBe(1);

    expect(io.out).toMatch(/\nstate +salvaged/);
  });

  it('follows the capture of the same trouble that runs already', async () => {
    await dump(['cart-1'], io);
    whilePausing(async () => {
      await world.runAgent({ diesBeforeManifest: true, progress: { rawBytes: 2 ** 20 } });
    }, runAgentAndSeal);

    expect(await dump(['cart-1', '--wait'], io)).toBe(0);

    expect(io.out).toContain('skip, AlreadyCaptured');
    expect(io.out).toMatch(/\nstate +complete\n/);
    expect(io.errors).toContain('heapDump: 1 MiB read');
  });

  it('gives up waiting, not the capture', async () => {
    io.pause = (millis) => {
      world.advance(millis / 1_000);
      return Promise.resolve();
    };

    expect(await dump(['cart-1', '--wait', '--timeout', '10s'], io)).toBe(4);

    expect(io.errors).toContain('not sealed within 10 s; it goes on');
    expect((await world.record()).state).toBe('started');
  });

  it('takes cluster and namespace of a context that is named, and as a plugin of the current one', async () => {
    await dump(['cart-1', '--context', 'prod-admin'], io);
    io.env = { HEAPCATCH_KUBECTL_PLUGIN: '1' };
    await dump(['cart-1', '-n', 'shop'], io);
    await dump(['cart-1', '--cluster', 'prod'], io);

    expect(requests).toEqual([
      { pod: 'cart-1', cluster: 'cluster-of-prod-admin', namespace: 'default' },
      { pod: 'cart-1', cluster: 'cluster-of-current', namespace: 'shop' },
      { pod: 'cart-1', cluster: 'prod' },
    ]);
  });

  it.each([
    ['arn:aws:eks:eu-central-1:123456789012:cluster/shop-prod', 'shop-prod'],
    ['shop-prod.eu-central-1.eksctl.io', 'shop-prod'],
    ['kind-kind', 'kind-kind'],
  ])('knows %s by the name that it is registered under', (clusterName, name) => {
    expect(registeredName(clusterName)).toBe(name);
  });

  it('lets nothing of an answer near the terminal that it would obey', async () => {
    const hostile = '\u001b[2J\u009b2J\r';
    const answer = { decision: 'skip', reason: hostile, message: hostile, next: hostile };
    io = new FakeIo(world.objects, { invokeCapture: () => Promise.resolve({ answers: [answer] }) });

    expect(await dump(['cart-1'], io)).toBe(3);

    expect(io.out).not.toMatch(/[\u001b\u009b\r]/);
  });

  it.each([
    [[], 'accepted is one POD'],
    [['cart-1', '--timeout', 'soon'], '--timeout is "soon", accepted is a time from 1s to 24h'],
    [['cart-1', '--force'], "Unknown option '--force'"],
  ])('says what it does not understand: %j', async (words, answer) => {
    expect(await dump(words, io)).toBe(2);
    expect(io.errors).toContain(answer);
    expect(requests).toEqual([]);
  });

  it('says that what answered is no capture function', async () => {
    io = new FakeIo(world.objects, { invokeCapture: () => Promise.resolve({ statusCode: 200 }) });

    expect(await dump(['cart-1'], io)).toBe(2);

    expect(io.errors).toContain('answer of the capture function is not valid');
  });
});

describe('heapcatch watch', () => {
  it('tells of a capture when it starts, is further, and is sealed', async () => {
    whilePausing(
      () => invoke({ pod: 'cart-1' }),
      () =>
        world.runAgent({
          diesBeforeManifest: true,
          progress: {
            rawBytes: 2 ** 20,
            estimate: {
              ...{ expectedBytes: 2 ** 22, basedOn: 'ticket' },
              ...{ rawBytesPerSecond: 1, sentBytesPerSecond: 1 },
            },
          },
        }),
      () => Promise.resolve(),
      runAgentAndSeal,
    );

    expect(await watch([], io)).toBe(130);

    const { captureId } = world.indexEntries()[0]!;
    const lines = io.out.split('\n').map((line) => line.replace(/^\S+ +/, ''));
    expect(lines).toEqual([
      `started   ${captureId}  prod/shop Deployment/cart cart-1: Manual, nodeAgent`,
      expect.stringMatching(`^progress  ${captureId}  heapDump: 25 % `),
      expect.stringMatching(
        `^sealed    ${captureId}  prod/shop Deployment/cart cart-1: complete, `,
      ),
      '',
    ]);
    expect(io.errors).toBe('');
  });

  it('as JSON, a line each, and of one namespace only', async () => {
    whilePausing(() => invoke({ pod: 'cart-1' }), runAgentAndSeal);
    await watch(['--json', '--every', '1m'], io);
    const events = io.out
      .split('\n')
      .slice(0, -1)
      .map((line) => JSON.parse(line) as { event: string });
    expect(events.map(({ event }) => event)).toEqual(['started', 'sealed']);

    world = new World();
    io = new FakeIo(world.objects, { claims: world.claims });
    whilePausing(() => invoke({ pod: 'cart-1' }), runAgentAndSeal);
    await watch(['-n', 'bank'], io);
    expect(io.out).toBe('');
  });

  it.each([
    ['the table may not be read', true],
    ['only a bucket is known', false],
  ])('shows what is sealed where %s, and says so once', async (_why, known) => {
    const refused = new CaptureError('ClaimStoreUnavailable', 'dynamodb:Query is forbidden');
    const claims = known
      ? { ...world.claims, listRunning: () => Promise.reject(refused) }
      : undefined;
    io = new FakeIo(world.objects, { claims });
    whilePausing(() => invoke({ pod: 'cart-1' }), runAgentAndSeal);

    await watch([], io);

    expect(io.out).toMatch(/^\S+ {2}sealed [^\n]*\n$/);
    expect(io.errors.match(/captures are shown when they are sealed/g)).toHaveLength(1);
  });
});
