import { beforeEach, describe, expect, it } from '@jest/globals';
import { createHandler as createCaptureHandler } from '../../functions/capture.ts';
import { createHandler as createSealHandler } from '../../functions/seal.ts';
import { createHandler as createSweepHandler } from '../../functions/sweep.ts';
import type { FunctionContext, Wiring } from '../../functions/wiring.ts';
import { indexKey, objectKeys } from '../../lib/dump-index/object-keys.ts';
import { CaptureError } from '../../lib/errors.ts';
import { createLogger } from '../../lib/log.ts';
import { podFacts } from '../capture/fake-cluster.ts';
import { signal, World } from '../capture/world.ts';

const bucketName = 'heapcatch-dumps';

describe('the functions', () => {
  let world: World;
  let clusterFault: CaptureError | undefined;
  let registered: string[];
  let context: FunctionContext;

  beforeEach(() => {
    world = new World();
    clusterFault = undefined;
    registered = ['prod'];
    context = {
      awsRequestId: 'request-1',
      getRemainingTimeInMillis: () => world.remainingMillis,
    };
  });

  function wire(): Wiring {
    return {
      config: {
        stage: 'test',
        tableName: 'claims',
        bucketName,
        region: 'eu-central-1',
        clusterParameterPrefix: '/clusters',
        defaultClusterName: 'prod',
        agentImage: 'heapcatch:1',
        agentNamespace: 'heapcatch',
        agentCommand: ['/heapcatch/agent', 'start'],
        retention: { maxDays: 90 },
      },
      claims: world.claims,
      objects: world.objects,
      clusterOf: () =>
        clusterFault === undefined ? Promise.resolve(world.cluster) : Promise.reject(clusterFault),
      listClusters: () => Promise.resolve(registered),
      clock: () => new Date(world.nowMillis),
      logger: createLogger('test', { write: (line) => void world.logLines.push(line) }),
    };
  }

  const capture = (invocation: unknown) => createCaptureHandler(wire)(invocation, context);
  const seal = (invocation: unknown) => createSealHandler(wire)(invocation, context);
  const eventBridge = (detail: unknown) => ({
    source: 'heapcatch',
    'detail-type': 'heapcatch Signal',
    time: '2026-01-01T12:00:00Z',
    detail,
  });
  const sns = (...messages: unknown[]) => ({
    Records: messages.map((message) => ({
      EventSource: 'aws:sns',
      Sns: { Timestamp: '2026-01-01T12:00:00Z', Message: JSON.stringify(message) },
    })),
  });

  describe('capture', () => {
    it('answers a person who names a pod', async () => {
      const { answers } = await capture({ namespace: 'shop', pod: 'cart-1' });

      expect(answers).toMatchObject([{ decision: 'dump', reason: 'Started' }]);
      expect(answers[0]?.next).toContain('the pod gets an Event');
    });

    it('finds the pod that a person names alone, and says where the result will be', async () => {
      const { answers } = await capture({ pod: 'cart-1' });

      const { objectPrefix, acquireTime, captureId } = await world.record();
      const objectKey = indexKey({ acquireTime, captureId });
      expect(answers).toMatchObject([
        {
          ...{ decision: 'dump', reason: 'Started', objectPrefix },
          indexEntry: {
            objectKey,
            uri: `s3://${bucketName}/${objectKey}`,
            consoleUrl: `https://console.aws.amazon.com/s3/object/${bucketName}?region=eu-central-1&prefix=${encodeURIComponent(objectKey)}`,
          },
        },
      ]);
      expect(answers[0]?.next).toContain(`the result will be s3://${bucketName}/${objectKey}`);
    });

    it('says to who asks again where the result of the running capture will be', async () => {
      await capture({ pod: 'cart-1' });

      const { answers } = await capture({ pod: 'cart-1' });

      const { captureId, objectPrefix, acquireTime } = await world.record();
      const objectKey = indexKey({ captureId, acquireTime });
      expect(answers).toMatchObject([
        { reason: 'AlreadyCaptured', captureId, objectPrefix, indexEntry: { objectKey } },
      ]);
    });

    it('starts nothing for a name that is in two clusters, and answers the others', async () => {
      registered = ['prod', 'test'];

      const { answers } = await capture(
        sns({ pod: 'cart-1' }, { namespace: 'shop', pod: 'cart-1' }),
      );

      expect(answers).toMatchObject([
        { decision: 'skip', reason: 'PodAmbiguous' },
        { decision: 'dump', reason: 'Started' },
      ]);
    });

    it('answers a Signal that comes by EventBridge', async () => {
      const { answers } = await capture(eventBridge(signal()));

      expect(answers).toMatchObject([{ decision: 'dump', reason: 'Started' }]);
    });

    it('answers each record of SNS, and what is malformed does not spoil the others', async () => {
      const { answers } = await capture(sns({ namespace: 'UPPER', pod: 'x' }, signal()));

      expect(answers).toMatchObject([
        { decision: 'failed', reason: 'InvalidSignal' },
        { decision: 'dump', reason: 'Started' },
      ]);
    });

    it('takes an alarm that is over for no trouble at all', async () => {
      const { answers } = await capture(sns({ AlarmName: 'heap', NewStateValue: 'OK' }));

      expect(answers).toMatchObject([{ decision: 'skip', reason: 'AlertNotFiring' }]);
    });

    it('acknowledges what can never succeed, with a log line', async () => {
      clusterFault = new CaptureError('InvalidConfiguration', 'no parameter /clusters/prod');

      const { answers } = await capture(signal());

      expect(answers).toMatchObject([{ decision: 'failed', reason: 'InvalidConfiguration' }]);
      expect(world.logLines.join('')).toContain('no parameter /clusters/prod');
    });

    it('throws what can succeed later, after the other signals had their turn', async () => {
      // No time to ask a cluster again.
      world.remainingMillis = 26_000;
      const { readPod } = world.cluster;
      world.cluster.readPod = (namespace, podName) =>
        podName === 'down-1'
          ? Promise.reject(new CaptureError('ClusterUnavailable', 'down', { retryable: true }))
          : readPod(namespace, podName);

      const both = capture(sns(signal({ podName: 'down-1' }), signal()));

      await expect(both).rejects.toMatchObject({ code: 'ClusterUnavailable' });
      expect(world.cluster.execCommands).toHaveLength(1);
    });

    it('repeats nothing when a whole invocation is delivered again', async () => {
      await capture(signal());
      world.advance(60);

      const { answers } = await capture(signal());

      expect(answers).toMatchObject([{ decision: 'skip', reason: 'AlreadyCaptured' }]);
      expect(world.cluster.execCommands).toHaveLength(1);
    });

    it('begins no signal for which there is no time left', async () => {
      world.remainingMillis = 9_999;

      await expect(capture(signal())).rejects.toMatchObject({ code: 'DeadlineExceeded' });

      expect(world.objects.uploads.size).toBe(0);
    });

    it.each([undefined, null, 'text', 7, [], {}, { Records: [] }])(
      'answers %j with a typed fault',
      async (invocation) => {
        const { answers } = await capture(invocation);

        expect(answers).toMatchObject([{ decision: 'failed', reason: 'InvalidSignal' }]);
      },
    );

    it('says a faulty environment with the first invocation', async () => {
      const handler = createCaptureHandler(() => {
        throw new CaptureError('InvalidConfiguration', 'TABLE_NAME is not set');
      });

      await expect(handler(signal(), context)).rejects.toMatchObject({
        code: 'InvalidConfiguration',
      });
    });
  });

  describe('seal', () => {
    const arrived = (key: string, bucket = bucketName) => ({
      source: 'aws.s3',
      'detail-type': 'Object Created',
      detail: { bucket: { name: bucket }, object: { key } },
    });
    let manifestKey: string;

    beforeEach(async () => {
      world.cluster.pod = podFacts({ namespace: 'shop' });
      await capture(signal());
      manifestKey = objectKeys((await world.record()).objectPrefix).manifest;
      await world.runAgent();
    });

    it('seals the capture whose manifest arrived', async () => {
      const { answers } = await seal(arrived(manifestKey));

      expect(answers).toMatchObject([{ outcome: 'sealed', state: 'complete' }]);
    });

    it('reads S3’s own notification as well', async () => {
      const s3 = { bucket: { name: bucketName }, object: { key: manifestKey } };

      const { answers } = await seal({ Records: [{ eventName: 'ObjectCreated:Put', s3 }] });

      expect(answers).toMatchObject([{ outcome: 'sealed' }]);
    });

    it('touches nothing for objects of other buckets', async () => {
      const { answers } = await seal(arrived(manifestKey, 'other'));

      expect(answers).toEqual([]);
      expect(world.indexEntries()).toEqual([]);
    });

    it('throws when another run is at it, so that the notification comes again', async () => {
      const record = await world.record();
      await world.claims.beginFinish(record.captureId, record.fencingToken, {
        finisherIdentity: 'other',
        now: new Date(world.nowMillis),
        leaseSeconds: 60,
      });

      await expect(seal(arrived(manifestKey))).rejects.toMatchObject({ code: 'FinishBusy' });
      world.advance(61);
      expect((await seal(arrived(manifestKey))).answers).toMatchObject([{ outcome: 'sealed' }]);
    });

    it('seals though the way into the cluster is not known any more', async () => {
      clusterFault = new CaptureError('InvalidConfiguration', 'no parameter /clusters/prod');

      expect((await seal(arrived(manifestKey))).answers).toMatchObject([{ outcome: 'sealed' }]);
    });
  });

  describe('sweep', () => {
    it('finishes what the schedule finds', async () => {
      await capture(signal());
      await world.runAgent({ diesBeforeEnd: true });
      world.advance(3_600);

      const answer = await createSweepHandler(wire)({ source: 'aws.events' }, context);

      expect(answer.finished).toMatchObject([{ state: 'salvaged' }]);
    });

    it('renews the ticket of an agent that asks for it', async () => {
      await capture(signal());
      await world.runAgent({ diesBeforeEnd: true, progress: { renewalWish: { number: 1 } } });

      const answer = await createSweepHandler(wire)({ source: 'aws.events' }, context);

      expect(answer).toMatchObject({ renewed: [{ number: 1 }], finished: [] });
    });
  });
});
