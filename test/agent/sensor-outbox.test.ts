import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { SensorOutbox } from '../../lib/agent/sensor-outbox.ts';
import { sensorSettingsOf } from '../../lib/agent/sensor-service.ts';
import { tellReleased } from '../../lib/agent/tell-released.ts';
import { jvmReleasedSchema } from '../../lib/signal/jvm-released.ts';
import {
  maxReportSampleCount,
  sensorReportSchema,
  type SensorAnswer,
} from '../../lib/signal/sensor-report.ts';
import { recordingLog } from '../forwarder/fakes.ts';

let folder: string;
let server: Server;
let seen: { url: string; token: string | undefined; body: unknown }[];
let statuses: number[];
let answers: string[];
let forwarderUrl: string;

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'heapcatch-outbox-'));
  writeFileSync(join(folder, 'token'), 'first\n');
  seen = [];
  statuses = [];
  answers = [];
  server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      const body = JSON.parse(Buffer.concat(chunks).toString()) as unknown;
      seen.push({ url: request.url ?? '', token: request.headers.authorization, body });
      response.writeHead(statuses.shift() ?? 200).end(answers.shift() ?? '{}');
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  forwarderUrl = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});
afterEach(() => {
  server.close();
  server.closeAllConnections();
  rmSync(folder, { recursive: true });
});

function outboxTo(url = forwarderUrl) {
  const { log, lines } = recordingLog();
  const tokenFile = join(folder, 'token');
  const heard: SensorAnswer['levels'] = [];
  const onAnswer = ({ levels }: SensorAnswer) => heard.push(...levels);
  const outbox = new SensorOutbox({
    ...{ forwarderUrl: url, tokenFile, nodeName: 'node-1', onAnswer, log },
  });
  const add = (container: number, ...times: readonly number[]) => {
    const runtimeID = container.toString(16).padStart(64, '0');
    for (const epochMilliseconds of times) {
      outbox.add(
        { podUid: 'uid-1', runtimeID, startTicks: '7' },
        { epochMilliseconds, values: { cgroupUsedPercent: 5 }, totals: {} },
      );
    }
  };
  return { outbox, add, lines, heard };
}
const timesIn = (body: unknown) =>
  sensorReportSchema
    .parse(body)
    .containers.map(({ samples }) => samples.map(({ epochMilliseconds }) => epochMilliseconds));

describe('SensorOutbox', () => {
  it('sends what waits as one report, with the token that is valid then', async () => {
    const { outbox, add } = outboxTo();
    add(1, 10, 20);
    add(2, 10);
    await outbox.flush();
    writeFileSync(join(folder, 'token'), 'second');
    add(1, 30);
    await outbox.flush();
    await outbox.flush();

    expect(seen.map(({ url, token }) => [url, token])).toEqual([
      ['/v1/sensor', 'Bearer first'],
      ['/v1/sensor', 'Bearer second'],
    ]);
    expect(seen.map(({ body }) => timesIn(body))).toEqual([[[10, 20], [10]], [[30]]]);
    expect(outbox.waitingCount).toBe(0);
  });

  it('sends many containers in several reports that the forwarder accepts', async () => {
    const { outbox, add } = outboxTo();
    for (let container = 0; container < 250; container += 1) add(container, 1);

    await outbox.flush();

    expect(seen.map(({ body }) => timesIn(body).length)).toEqual([100, 100, 50]);
  });

  it('tries another replica when one cannot judge now', async () => {
    const { outbox, add } = outboxTo();
    statuses = [503, 503, 200];
    add(1, 10);

    await outbox.flush();

    expect([seen.length, outbox.sentCount, outbox.failedCount]).toEqual([3, 1, 0]);
  });

  it('keeps the newest samples while the forwarder is away, and says so once', async () => {
    const { outbox, add, lines } = outboxTo('http://127.0.0.1:1');
    const times = Array.from({ length: 100 }, (_, index) => index + 1);

    for (const time of times) {
      add(1, time);
      await outbox.flush();
    }

    expect(outbox.waitingCount).toBe(maxReportSampleCount);
    expect(outbox.droppedCount).toBe(100 - maxReportSampleCount);
    expect(lines.filter(({ level }) => level === 'warn')).toHaveLength(1);
    expect(JSON.stringify(lines)).not.toContain('first');
  });

  it('keeps no more than 400 containers', async () => {
    const { outbox, add } = outboxTo('http://127.0.0.1:1');
    for (let container = 0; container < 1_000; container += 1) add(container, 1);

    expect(outbox.waitingCount).toBe(400);
    await outbox.flush();
    expect(outbox.waitingCount).toBe(400);
  });

  it('keeps a report that was refused, and one whose token is missing', async () => {
    const { outbox, add } = outboxTo();
    statuses = [401];
    add(1, 10);
    await outbox.flush();
    rmSync(join(folder, 'token'));
    await outbox.flush();

    expect([seen.length, outbox.waitingCount, outbox.failedCount]).toEqual([1, 1, 2]);
    writeFileSync(join(folder, 'token'), 'back');
    await outbox.flush();
    expect(outbox.waitingCount).toBe(0);
  });

  it('gives a report up that the forwarder finds invalid', async () => {
    const { outbox, add, lines } = outboxTo();
    statuses = [400];
    add(1, 10, 20);
    await outbox.flush();
    add(1, 30);
    await outbox.flush();

    expect(seen.map(({ body }) => timesIn(body)).flat(2)).toEqual([10, 20, 30]);
    expect([outbox.sentCount, outbox.failedCount, outbox.droppedCount]).toEqual([1, 1, 2]);
    expect(lines).toHaveLength(1);
  });

  it('hears which levels matter, whatever else the forwarder says, and takes no answer for a fault', async () => {
    const { outbox, add, heard } = outboxTo();
    const levels = Array.from({ length: 100 }, (_, index) => ({
      runtimeID: index.toString(16).padStart(64, '0'),
      levels: { heapAfterGcPercent: 40, secondsToLimit: 600 },
    }));
    answers = [
      JSON.stringify({ takenCount: 1, signalCount: 0, levels, later: true }),
      ...['{"takenCount":1}', 'no JSON', '{"levels":[{"runtimeID":"../.."}]}'],
    ];

    for (const time of [10, 20, 30, 40]) {
      add(1, time);
      await outbox.flush();
    }

    expect(heard).toEqual(levels);
    expect([outbox.sentCount, outbox.failedCount, outbox.waitingCount]).toEqual([4, 0, 0]);
  });

  it('keeps what came while a report was on its way', async () => {
    const { outbox, add } = outboxTo();
    add(1, 10);
    const flushed = outbox.flush();
    add(1, 20);
    await flushed;
    await outbox.flush();

    expect(seen.map(({ body }) => timesIn(body)).flat(2)).toEqual([10, 20]);
  });
});

describe('sensorSettingsOf', () => {
  it('is nothing without an address, which turns the sensor off', () => {
    expect(sensorSettingsOf({ HEAPCATCH_FORWARDER_URL: ' ' })).toBeUndefined();
  });

  it('reads address, node and the file of the token', () => {
    const env = {
      HEAPCATCH_FORWARDER_URL: 'http://f.heapcatch.svc:8081',
      HEAPCATCH_NODE_NAME: 'n',
    };

    expect(sensorSettingsOf(env)).toEqual({
      forwarderUrl: 'http://f.heapcatch.svc:8081',
      nodeName: 'n',
      tokenFile: '/var/run/secrets/heapcatch/token',
    });
  });

  it('names every faulty variable with what is accepted', () => {
    expect(() => sensorSettingsOf({ HEAPCATCH_FORWARDER_URL: 'forwarder:8081' })).toThrow(
      /HEAPCATCH_FORWARDER_URL is "forwarder:8081", accepted is .*HEAPCATCH_NODE_NAME is missing/,
    );
  });
});

describe('tellReleased', () => {
  const ticket = { captureId: 'a'.repeat(32), target: { podUid: 'uid-1' } };
  const tell = async (url = forwarderUrl) => {
    const { log, lines } = recordingLog();
    const settings = { forwarderUrl: url, tokenFile: join(folder, 'token'), nodeName: 'node-1' };
    await tellReleased(settings, ticket as never, log);
    return lines;
  };

  it('says which capture needs its JVM no longer, and tries again where that can help', async () => {
    statuses = [503];

    expect(await tell()).toEqual([]);
    expect(seen).toHaveLength(2);
    expect(seen[1]).toMatchObject({ url: '/v1/jvm-released', token: 'Bearer first' });
    expect(jvmReleasedSchema.parse(seen[1]?.body)).toMatchObject({
      ...{ nodeName: 'node-1', podUid: 'uid-1', captureId: 'a'.repeat(32) },
    });
  });

  it('gives up with a word in the log, and no more, at a refusal and where nobody is', async () => {
    statuses = [404];

    expect(await tell()).toMatchObject([{ level: 'warn', explanation: 'it answered 404' }]);
    expect(seen).toHaveLength(1);
    expect(await tell('http://127.0.0.1:1')).toMatchObject([{ level: 'warn' }]);
  });
});
