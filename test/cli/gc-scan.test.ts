import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import {
  mkdirSync,
  mkdtempSync,
  renameSync,
  rmSync,
  writeFileSync,
  appendFileSync,
  truncateSync,
} from 'node:fs';
import { execFileSync } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { PassThrough, Readable } from 'node:stream';
import { gzipSync } from 'node:zlib';
import { gcScan, type GcScanIo } from '../../lib/cli/gc-scan/command.ts';
import { createDelivery } from '../../lib/cli/gc-scan/deliver.ts';
import { LogFollower } from '../../lib/cli/gc-scan/follow.ts';
import { findSeries } from '../../lib/cli/gc-scan/log-files.ts';
import { readGcScanOptions } from '../../lib/cli/gc-scan/options.ts';
import { CaptureError } from '../../lib/errors.ts';
import type { Signal } from '../../lib/signal/signal.ts';

const fixtures = path.resolve(import.meta.dirname, '../gc-log/fixtures');
const now = new Date('2026-11-25T18:00:00Z');
const pod = {
  HEAPCATCH_EVENT_BUS_NAME: 'bus',
  HEAPCATCH_CLUSTER_NAME: 'prod',
  POD_NAMESPACE: 'shop',
  POD_NAME: 'cart-1',
  POD_UID: '9a1f',
};

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(path.join(tmpdir(), 'heapcatch-gc-scan-'));
});
afterEach(() => rmSync(folder, { recursive: true }));

const full = (time: string, cause = 'Ergonomics'): string =>
  `[2026-11-25T${time}+0000][info][gc] GC(1) Pause Full (${cause}) 95M->90M(100M) 900.000ms\n`;
const storm = ['17:59:00.000', '17:59:10.000', '17:59:20.000'].map((time) => full(time)).join('');

function write(name: string, text: string | Buffer): string {
  const file = path.join(folder, name);
  writeFileSync(file, text);
  return file;
}

async function run(words: readonly string[], io: Partial<GcScanIo> = {}) {
  let output = '';
  let errors = '';
  const code = await gcScan(words, {
    stdin: Readable.from([]),
    write: (text) => (output += text),
    writeError: (text) => (errors += text),
    env: {},
    now: () => now,
    stop: new AbortController().signal,
    ...io,
  });
  return { code, output, errors };
}

describe('heapcatch gc-scan', () => {
  it('answers 0 while no limit is crossed, and says what it saw', async () => {
    const { code, output } = await run([path.join(fixtures, 'jdk17-serial.log')]);

    expect(code).toBe(0);
    expect(output).toContain('Serial; 16 events');
    expect(output).toContain('asked: all 2 full collections were asked for, as by System.gc()');
    expect(output).toContain('17: 16 of events, 1 of details, 0 not understood');
  });

  it('answers 1 for a storm without being asked, and not for as many System.gc()', async () => {
    const asked = storm.replaceAll('Ergonomics', 'System.gc()');

    expect(await run([write('storm.log', storm)])).toMatchObject({ code: 1 });
    expect(await run([write('asked.log', asked)])).toMatchObject({ code: 0 });
    expect(await run(['--full-gc', '1', write('asked.log', asked)])).toMatchObject({ code: 0 });
  });

  it('judges only what is within the time', async () => {
    const file = write('gc.log', full('17:30:00.000') + full('17:59:30.000'));

    expect((await run(['--full-gc', '2', file])).code).toBe(1);
    expect((await run(['--full-gc', '2', '--within', '5m', file])).code).toBe(0);
    expect((await run(['--full-gc', '2', '--within', '1h', file])).code).toBe(1);
  });

  it('gives one JSON object with what the log told', async () => {
    const { code, output } = await run(['--json', '--heap-after', '90%', write('gc.log', storm)]);

    expect(code).toBe(1);
    expect(JSON.parse(output)).toMatchObject({
      schemaVersion: 1,
      kind: 'GcScan',
      time: '2026-11-25T18:00:00.000Z',
      limitCrossed: true,
      logs: [
        {
          name: path.join(folder, 'gc.log'),
          lines: { lineCount: 3, eventLineCount: 3, unparsedLineCount: 0 },
          crossed: [{ limit: 'storm' }, { limit: 'heapAfter', value: 0.9, allowed: 0.9 }],
          statistics: {
            verdict: 'storm',
            storm: { collectionCount: 3, startTime: '2026-11-25T17:58:59.100Z' },
            pauses: { count: 3, sumSeconds: 2.7, maxSeconds: 0.9 },
            causes: [{ cause: 'Ergonomics', count: 3, pauseSeconds: 2.7, maxPauseSeconds: 0.9 }],
            heapAfterFullGc: { lastBytes: 94_371_840, lastShare: 0.9 },
          },
        },
      ],
    });
  });

  it('reads standard input', async () => {
    const { code, output } = await run(['-'], { stdin: Readable.from([Buffer.from(storm)]) });

    expect(code).toBe(1);
    expect(output).toContain('LIMIT CROSSED: a storm');
  });

  it('reads a named pipe, which gives its bytes once', async () => {
    const pipe = path.join(folder, 'gc.pipe');
    execFileSync('mkfifo', [pipe]);
    const reading = run([pipe]);
    await writeFile(pipe, storm);

    expect((await reading).output).toContain('3: 3 of events');
  });

  it('ends when it is interrupted while standard input is silent', async () => {
    const stop = new AbortController();
    const running = run(['-'], { stdin: new PassThrough(), stop: stop.signal });
    stop.abort();

    expect(await running).toMatchObject({ code: 130, errors: '' });
  });

  it('lets no control character of a log through to the terminal', async () => {
    const { output } = await run([
      write('gc.log', full('17:00:00.000', 'a\u001b[31m cause') + '\u001b[2J\n'),
    ]);

    expect(output).toContain('a·[31m cause');
    expect(output).not.toContain('\u001b');
  });

  it('shows lines that it does not understand', async () => {
    const { output } = await run([write('gc.log', full('17:00:00.000') + 'what is this?\n')]);

    expect(output).toContain('1 not understood');
    expect(output).toContain('line 2: what is this?');
  });

  it.each([
    ['no input', [], 'no input is named'],
    ['an unknown word', ['--ful-gc', '3', 'x'], '--ful-gc'],
    ['a time without a unit', ['--within', '5', 'x'], '--within is "5", accepted is a time'],
    ['a share over all', ['--heap-after', '101%', 'x'], 'accepted is a percentage from 1% to 100%'],
    ['no count', ['--full-gc', '0', 'x'], 'accepted is a whole number from 1'],
    [
      'a URL of files',
      ['--webhook', 'file:///etc/passwd', 'x'],
      'accepted is an http or https URL',
    ],
    ['a signal without a pod', ['--signal', 'x'], '--signal needs --pod-uid or POD_UID'],
    ['a file that is not there', ['/nowhere/gc.log'], 'no such file or directory'],
    [
      'something else than a GC log',
      [path.join(fixtures, 'GcLogWorkload.java')],
      'hardly one is of a GC log',
    ],
  ])('refuses %s with exit code 2', async (_, words, message) => {
    const { code, errors } = await run(words);

    expect(code).toBe(2);
    expect(errors).toContain(message);
  });

  it('calls an empty log calm, and a log that is cut off in its gzip unreadable', async () => {
    expect((await run([write('gc.log', '')])).code).toBe(0);
    expect((await run([write('gc.log.gz', gzipSync(storm).subarray(0, 60))])).code).toBe(2);
    expect((await run([write('gc.log.gz', gzipSync(storm))])).code).toBe(1);
  });
});

describe('the files of a directory', () => {
  it('are put together by JVM and in the order in which they were written', async () => {
    write('gc.log', full('17:59:20.000'));
    write('gc.log.0', full('17:59:10.000'));
    write('gc.log.1', full('17:59:00.000'));
    write('app-2026-11-24_10-00-00.log', full('10:00:01.000'));
    write('app-2026-11-25_10-00-00.log.0', full('10:00:01.000'));
    mkdirSync(path.join(folder, 'more'));

    const series = await findSeries([folder]);
    const names = series.map(({ name, files }) => [name, ...files.map(({ file }) => file)]);

    expect(names.map((list) => list.map((file) => path.basename(file)))).toEqual([
      ['app-%t.log', 'app-2026-11-24_10-00-00.log', 'app-2026-11-25_10-00-00.log.0'],
      ['gc.log', 'gc.log.1', 'gc.log.0', 'gc.log'],
    ]);
    expect(await run([path.join(folder)])).toMatchObject({ code: 1 });
  });

  it('may be something else beside logs, which is said', async () => {
    write('gc.log', storm);
    write('notes.txt', 'buy milk\n');
    const { code, errors } = await run([folder]);

    expect(code).toBe(1);
    expect(errors).toContain('notes.txt is no GC log, it is passed over');
  });

  it('of JDK 8 rotate in a circle too', async () => {
    const record = (uptime: string): string => `${uptime}: [GC 2048K->1024K(4096K), 0.01 secs]\n`;
    write('gc.log.0', record('300.000'));
    write('gc.log.1.current', record('400.000'));
    write('gc.log.2', record('200.000'));
    const [series] = await findSeries([folder]);

    expect(series?.files.map(({ file }) => path.basename(file))).toEqual([
      'gc.log.2',
      'gc.log.0',
      'gc.log.1.current',
    ]);
  });
});

describe('LogFollower', () => {
  function following(input: string) {
    const chunks: string[] = [];
    const troubles: string[] = [];
    const follower = new LogFollower(input, {
      bytes: (_, chunk) => chunks.push(chunk.toString()),
      endOfFile: () => chunks.push('|'),
      trouble: (message) => troubles.push(message),
    });
    return {
      troubles,
      follower,
      poll: async (): Promise<string> => {
        chunks.length = 0;
        await follower.poll();
        return chunks.join('');
      },
    };
  }

  it('reads what is appended, and over a rotation first the rest of the old file', async () => {
    const file = write('gc.log', 'one\n');
    const { poll, follower } = following(file);
    expect(await poll()).toBe('one\n');
    expect(await poll()).toBe('');

    appendFileSync(file, 'two\n');
    renameSync(file, path.join(folder, 'gc.log.0'));
    write('gc.log', 'three\n');

    expect(await poll()).toBe('two\n|three\n');
    await follower.close();
  });

  it('knows a rotated file again in a directory', async () => {
    const file = write('gc.log', 'one\n');
    const { poll, follower } = following(folder);
    expect(await poll()).toBe('one\n');

    renameSync(file, path.join(folder, 'gc.log.0'));
    write('gc.log', 'two\n');

    expect(await poll()).toBe('two\n');
    await follower.close();
  });

  it('begins a file anew that shrank', async () => {
    const file = write('gc.log', 'a long first line\n');
    const { poll, follower } = following(file);
    await poll();

    truncateSync(file);
    appendFileSync(file, 'new\n');

    expect(await poll()).toBe('|new\n');
    await follower.close();
  });

  it('waits for a file that is not there yet, and says so once', async () => {
    const { poll, troubles, follower } = following(path.join(folder, 'gc.log'));
    await poll();
    await poll();
    write('gc.log', 'one\n');

    expect(await poll()).toBe('one\n');
    expect(troubles).toHaveLength(1);
    await follower.close();
  });
});

describe('heapcatch gc-scan -f', () => {
  it('tells a crossing once, sends it, and tells when it is over', async () => {
    const stop = new AbortController();
    const stdin = new PassThrough();
    const sent: unknown[] = [];
    let clock = now;
    let output = '';
    const seen = (text: string): void => {
      output += text;
      if (text.includes('LIMIT CROSSED')) clock = new Date(now.getTime() + 600_000);
      if (text.includes('within its limits again')) stop.abort();
    };
    stdin.write(storm);

    const code = await gcScan(['-f', '-'], {
      stdin,
      write: seen,
      writeError: (text) => (output += text),
      env: {},
      now: () => clock,
      stop: stop.signal,
      delivery: {
        deliver: (report) => {
          sent.push(report);
          return Promise.resolve([]);
        },
      },
    });

    expect(code).toBe(130);
    expect(output.split('\n').map((line) => line.slice(0, 60))).toEqual([
      '2026-11-25T18:00:00.000Z -: LIMIT CROSSED: a storm: 3 collec',
      '2026-11-25T18:10:00.000Z -: within its limits again',
      '',
    ]);
    expect(sent).toMatchObject([{ kind: 'GcScan', limitCrossed: true }]);
  });
});

describe('delivery', () => {
  let server: Server;
  let answers: number[];
  let requests: { authorization: string | undefined; body: string }[];
  beforeEach(async () => {
    requests = [];
    server = createServer((request, response) => {
      let body = '';
      request.on('data', (chunk) => (body += String(chunk)));
      request.on('end', () => {
        requests.push({ authorization: request.headers.authorization, body });
        response.writeHead(answers.shift() ?? 200).end();
      });
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  });
  afterEach(() => new Promise((resolve) => server.close(resolve)));
  const url = (): string =>
    `http://127.0.0.1:${(server.address() as AddressInfo).port}/hook?secret=hush`;

  it('posts the report with the token, and again after a passing fault', async () => {
    answers = [503];
    const { code } = await run(['--webhook', url(), write('gc.log', storm)], {
      env: { HEAPCATCH_WEBHOOK_TOKEN: 'token' },
    });

    expect(code).toBe(1);
    expect(requests).toHaveLength(2);
    expect(requests[1]?.authorization).toBe('Bearer token');
    expect(JSON.parse(requests[1]?.body ?? '')).toMatchObject({
      kind: 'GcScan',
      limitCrossed: true,
    });
  });

  it('answers 3 when the webhook refuses, without telling its secrets', async () => {
    answers = [401];
    const { code, errors } = await run(['--webhook', url(), write('gc.log', storm)]);

    expect(code).toBe(3);
    expect(requests).toHaveLength(1);
    expect(errors).toContain('did not take the report: it answered 401');
    expect(errors).not.toContain('hush');
  });

  it('sends nothing while no limit is crossed', async () => {
    answers = [];
    await run(['--webhook', url(), write('gc.log', full('17:00:00.000'))]);
    expect(requests).toEqual([]);
  });

  it('puts a Signal on the bus that names the pod and the reason', async () => {
    const options = readGcScanOptions(['--signal', '--container', 'app', 'x'], pod);
    const signals: Signal[] = [];
    const delivery = createDelivery(options, () =>
      Promise.resolve({
        putSignals: (batch: readonly Signal[]) => {
          signals.push(...batch);
          return Promise.resolve([]);
        },
      }),
    );

    expect(await delivery.deliver({}, now)).toEqual([]);
    expect(signals).toMatchObject([
      {
        clusterName: 'prod',
        namespace: 'shop',
        podName: 'cart-1',
        podUid: '9a1f',
        containerName: 'app',
        reason: 'GcLimitCrossed',
        observedTime: '2026-11-25T18:00:00.000Z',
      },
    ]);
  });

  it('says why the bus did not take it', async () => {
    const options = readGcScanOptions(['--signal', 'x'], pod);
    const refused = createDelivery(options, () =>
      Promise.resolve({
        putSignals: () =>
          Promise.resolve([{ index: 0, errorCode: 'Throttled', errorMessage: 'slow down' }]),
      }),
    );
    const away = createDelivery(options, () =>
      Promise.reject(new CaptureError('SignalBusUnavailable', 'away')),
    );

    expect(await refused.deliver({}, now)).toEqual([
      'bus bus refused the signal: Throttled: slow down',
    ]);
    expect(await away.deliver({}, now)).toEqual(['the signal was not sent: away']);
  });

  it('refuses a pod whose name is none', () => {
    expect(() => readGcScanOptions(['--signal', '--pod', 'Not A Pod', 'x'], pod)).toThrow(
      'podName is "Not A Pod"',
    );
  });
});
