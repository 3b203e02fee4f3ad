import { afterEach, describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createAlertMetrics } from '../../lib/forwarder/alert-metrics.ts';
import {
  alertRepeatSeconds,
  alertRoute,
  maxAlertBodyBytes,
  type AlertAnswer,
} from '../../lib/forwarder/alert-webhook.ts';
import { startApi } from '../../lib/forwarder/api.ts';
import { createForwarderMetrics } from '../../lib/forwarder/metrics.ts';
import { TokenFile } from '../../lib/forwarder/token-file.ts';
import type { PodFacts } from '../../lib/policy/pod-facts.ts';
import { anyText } from '../any-text.ts';
import { alertmanagerBody, firing } from '../signal/alert-fixtures.ts';
import { anIntake, aPod, FakeTime, recordingLog, temporaryDirectory, valueOf } from './fakes.ts';

const token = 'a-token-of-24-characters';
const closers: (() => Promise<void> | void)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});

interface Answer {
  status: number;
  body: { alerts?: AlertAnswer[]; unreadCount?: number; error?: string };
}

/** The webhook on a real port, over the pods given. */
async function serve(given: { pods?: readonly PodFacts[]; namespaces?: readonly string[] } = {}) {
  const directory = temporaryDirectory();
  closers.push(() => directory.remove());
  const tokenFile = join(directory.path, 'token');
  writeFileSync(tokenFile, `${token}\n`);
  const { log, lines } = recordingLog();
  const forwarderMetrics = createForwarderMetrics();
  const metrics = createAlertMetrics(forwarderMetrics.registry);
  const unready: string[] = [];
  const time = new FakeTime();
  const { intake, pods, sent } = anIntake(given.pods ?? [aPod()], {
    metrics: forwarderMetrics,
    log,
  });
  const options = {
    pods,
    intake,
    watches: (namespace: string) => (given.namespaces ?? [namespace]).includes(namespace),
    clusterLabel: 'test',
    tokens: new TokenFile(tokenFile),
    unreadyReasons: () => unready,
    time,
    metrics,
    log,
  };
  const api = await startApi({ port: 0, routes: [alertRoute(options)], log });
  closers.push(() => api.close());
  const post = async (body: unknown, bearer: string | null = token): Promise<Answer> => {
    const answer = await fetch(`http://127.0.0.1:${api.port}/v1/alerts`, {
      method: 'POST',
      body: typeof body === 'string' ? body : JSON.stringify(body),
      headers: bearer === null ? {} : { authorization: `Bearer ${bearer}` },
    });
    return { status: answer.status, body: (await answer.json()) as Answer['body'] };
  };
  return { options, post, sent, metrics, lines, unready, time, tokenFile, pods };
}

const labels = { namespace: 'shop', pod: 'cart-1', container: 'app' };

describe('POST /v1/alerts', () => {
  it('makes a signal of a firing alert, observed when it began', async () => {
    const { post, sent, metrics } = await serve();

    const answer = await post(alertmanagerBody(firing(labels)));

    expect(answer).toEqual({
      status: 200,
      body: {
        alerts: [
          {
            outcome: 'sent',
            alertName: 'JvmHeapAfterGcHigh',
            namespace: 'shop',
            podName: 'cart-1',
            containerName: 'app',
          },
        ],
        unreadCount: 0,
        truncatedCount: 0,
      },
    });
    expect(sent).toMatchObject([
      {
        reason: 'AlertFiring',
        podUid: 'uid-1',
        containerName: 'app',
        observedTime: '2026-03-01T09:58:00.123Z',
        alertName: 'JvmHeapAfterGcHigh',
      },
    ]);
    expect(await valueOf(metrics.alerts, { outcome: 'sent' })).toBe(1);
  });

  it('answers each alert of a group by itself', async () => {
    const { post, sent, metrics } = await serve({ namespaces: ['shop'] });

    const { body } = await post(
      alertmanagerBody(
        firing(labels, { status: 'resolved' }),
        firing({ ...labels, pod: 'cart-2' }),
        firing({ ...labels, namespace: 'bank' }),
        firing({ ...labels, container: 'proxy' }),
        'no alert',
        firing(labels),
      ),
    );

    expect(body.alerts?.map(({ outcome, reason }) => [outcome, reason])).toEqual([
      ['ignored', 'Resolved'],
      ['refused', 'PodUnknown'],
      ['refused', 'NamespaceNotWatched'],
      ['refused', 'ContainerUnknown'],
      ['refused', 'InvalidAlert'],
      ['sent', undefined],
    ]);
    expect(sent).toHaveLength(1);
    expect(await valueOf(metrics.alerts, { reason: 'NamespaceNotWatched' })).toBe(1);
  });

  it('refuses an alert about a pod that is not to be captured', async () => {
    const pod = aPod({ annotations: { 'heapcatch.dev/enabled': 'false' } });
    const { post, sent } = await serve({ pods: [pod] });

    const { body } = await post(alertmanagerBody(firing(labels)));

    expect(body.alerts).toMatchObject([{ outcome: 'refused', reason: 'PolicyDisabled' }]);
    expect(sent).toEqual([]);
  });

  it('tells one firing once an hour, and each new one at once', async () => {
    const { post, sent, time } = await serve();
    const group = alertmanagerBody(firing(labels));
    const outcomes = async (body: unknown) => (await post(body)).body.alerts?.[0]?.reason;

    await post(group);
    expect(await outcomes(group)).toBe('Repeat');
    expect(
      await outcomes(alertmanagerBody(firing(labels, { startsAt: '2026-03-01T09:59:00Z' }))),
    ).toBe(undefined);
    await time.advance(alertRepeatSeconds * 1000);
    expect(await outcomes(group)).toBe(undefined);
    expect(sent.map(({ observedTime }) => observedTime)).toEqual([
      '2026-03-01T09:58:00.123Z',
      '2026-03-01T09:59:00.000Z',
      // It has been firing for long, and is told because it still does.
      '2026-03-01T11:00:00.000Z',
    ]);
  });

  it('refuses other callers before it reads what they send, and says to the log alone why', async () => {
    const { post, sent, metrics, lines, time } = await serve();
    const body = alertmanagerBody(firing(labels));

    expect((await post(body, null)).status).toBe(401);
    expect((await post(body, 'another-token-of-24-char')).status).toBe(401);
    expect((await post('no JSON', `${token}x`)).status).toBe(401);
    expect(sent).toEqual([]);
    expect(await valueOf(metrics.requestsRefused, { reason: 'Unauthorized' })).toBe(3);
    expect(JSON.stringify(lines)).not.toContain(token);
    // One line for many strangers.
    expect(lines.map(({ explanation }) => explanation)).toEqual([
      'neither a token nor a client certificate',
    ]);
    await time.advance(10_000);
    await post(body, 'another-token-of-24-char');
    expect(lines[1]?.['explanation']).toBe('another token');
  });

  it('lets a certified client in without a token, and nobody where neither is configured', async () => {
    const { options } = await serve();
    const admitted = (tokens: undefined | TokenFile, clientCertified: boolean) =>
      alertRoute({ ...options, tokens }).admit?.({ clientCertified, remoteAddress: '10.0.0.9' });

    expect(await admitted(options.tokens, true)).toBe(undefined);
    expect(await admitted(undefined, true)).toBe(undefined);
    expect(await admitted(undefined, false)).toMatchObject({ status: 401 });
  });

  it('follows the file with the tokens, and accepts nobody while it holds none', async () => {
    const { post, tokenFile } = await serve();
    const status = async (bearer: string) => (await post(alertmanagerBody(), bearer)).status;

    writeFileSync(tokenFile, `the-next-token-of-24-chars\n${token}\n`);
    expect(await status(token)).toBe(200);
    expect(await status('the-next-token-of-24-chars')).toBe(200);
    writeFileSync(tokenFile, 'short\n\n');
    expect(await status('short')).toBe(503);
    expect(await status(token)).toBe(503);
  });

  it('asks to be tried again while the pods are not known', async () => {
    const { post, unready, sent } = await serve();
    unready.push('pods : not listed yet');

    const answer = await post(alertmanagerBody(firing(labels)));

    expect(answer).toMatchObject({
      status: 503,
      body: { error: expect.stringContaining('not listed') },
    });
    expect(sent).toEqual([]);
  });

  it.each<[string, unknown]>([
    ['no JSON', '{'],
    ['another body', { hello: 'world' }],
    ['another version', { ...alertmanagerBody(), version: '5' }],
    ['JSON that is deep', `${'['.repeat(500_000)}${']'.repeat(500_000)}`],
  ])('refuses %s for good', async (_name, body) => {
    const { post, metrics } = await serve();

    const answer = await post(body);

    expect(answer.status).toBe(400);
    expect((answer.body.error ?? '').length).toBeLessThan(1_000);
    expect(await valueOf(metrics.requestsRefused, { reason: 'InvalidBody' })).toBe(1);
  });

  it('reads labels that hold deep JSON or long text as labels that name no pod', async () => {
    const { post } = await serve();
    const long = 'x'.repeat(500_000);

    const { status, body } = await post(alertmanagerBody(firing({ ...labels, pod: long })));

    expect(status).toBe(200);
    expect(body.alerts).toMatchObject([{ reason: 'PodUnknown' }]);
    expect(JSON.stringify(body).length).toBeLessThan(1_000);
  });

  it('refuses a body that is too large, and reads no more than so many alerts', async () => {
    const { post, metrics } = await serve();
    const many = alertmanagerBody(
      ...Array.from({ length: 1_200 }, () => firing(labels, { annotations: {} })),
    );

    expect((await post('x'.repeat(maxAlertBodyBytes + 1))).status).toBe(413);
    const { body } = await post(many);
    expect(body.alerts).toHaveLength(1_000);
    expect(body.unreadCount).toBe(200);
    expect(await valueOf(metrics.alerts, { reason: 'Unread' })).toBe(200);
  });

  it('answers any alerts with 200 and an answer each', async () => {
    const { post } = await serve();
    const value = fc.oneof(anyText(), fc.constantFrom('cart-1', 'shop', 'app'));
    const name = fc.constantFrom('pod', 'namespace', 'container', 'instance', '__proto__', 'uid');
    const alert = fc.record(
      {
        status: fc.constantFrom('firing', 'resolved', 'x', null),
        labels: fc.dictionary(name, fc.oneof(value, fc.jsonValue())),
        startsAt: fc.oneof(fc.string(), fc.constant('0001-01-01T00:00:00Z')),
        endsAt: fc.jsonValue(),
        fingerprint: fc.jsonValue(),
      },
      { requiredKeys: [] },
    );
    await fc.assert(
      fc.asyncProperty(fc.array(alert, { maxLength: 5 }), async (alerts) => {
        const { status, body } = await post(alertmanagerBody(...alerts));
        expect(status).toBe(200);
        expect(body.alerts).toHaveLength(alerts.length);
      }),
      { numRuns: 60 },
    );
  });
});
