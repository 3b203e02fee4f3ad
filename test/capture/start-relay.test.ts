import { beforeEach, describe, expect, it } from '@jest/globals';
import type { ClusterApi, ExecResult } from '../../lib/capture/ports.ts';
import type { RelaySettings } from '../../lib/capture/start-relay.ts';
import { startCapture } from '../../lib/capture/start-capture.ts';
import { objectKeys } from '../../lib/dump-index/object-keys.ts';
import { podFacts } from './fake-cluster.ts';
import { signal, World } from './world.ts';

const refusal =
  '{"outcome":"refused","reason":"StorageUnreachable","message":"no way to the bucket"}\n';

let world: World;
let execs: string[];
let deferred: (() => Promise<void>)[];
beforeEach(() => {
  world = new World();
  execs = [];
  deferred = [];
  world.cluster.nodeAgent = undefined;
});

/** A container that does not reach the bucket, and takes the ticket by its input. */
const cutOff: ClusterApi['exec'] = async (_target, command, { stdin = '', onStdout }) => {
  const answer = (stdout: string, exitCode = 0): ExecResult => ({ exitCode, stdout, stderr: '' });
  const name = command[3] ?? '';
  const takesTicket = Buffer.from(stdin).toString('latin1').startsWith('{"relayedTicket"');
  execs.push(takesTicket ? `${name} with its ticket` : name);
  if (name === 'heapcatch-probe') return answer('java=/java\nwritable=/tmp\nend=1\n');
  if (name === 'heapcatch-measure') {
    for (let piece = 0; piece < 4; piece++) await onStdout?.(Buffer.alloc(1_000_000));
  }
  if (name !== 'heapcatch-exec') return answer('');
  return takesTicket ? answer('{"outcome":"accepted"}\n') : answer(refusal, 3);
};

function start(relayMaxMebibytes: string) {
  const annotations = {
    'heapcatch.dev/rungs': 'exec',
    'heapcatch.dev/relay-max-mebibytes': relayMaxMebibytes,
  };
  world.cluster.pod = podFacts({ annotations });
  world.cluster.exec = cutOff;
  const relay: RelaySettings = {
    remainingMillis: () => 800_000,
    defer: (fetch) => deferred.push(fetch),
    pauseRelay: () => Promise.resolve(),
    openDump: () => Promise.reject(new Error('no dump comes')),
  };
  const deps = world.captureDeps();
  const settings = { ...deps.settings, execAgentJar: Buffer.of(1), relay };
  return startCapture({ ...deps, settings }, signal());
}

describe('a capture whose container does not reach the bucket', () => {
  it('is started by the relay where the policy allows it, answered, and fetched after that', async () => {
    const answer = await start('512');

    expect(answer).toMatchObject({ reason: 'Started', rung: 'exec' });
    expect(execs).toEqual([
      ...['heapcatch-probe', 'heapcatch-exec'],
      ...['heapcatch-probe', 'heapcatch-measure', 'heapcatch-exec with its ticket'],
    ]);
    expect(world.cluster.events.at(-1)).toBeDefined();

    await Promise.all(deferred.map((fetch) => fetch()));

    expect(execs.slice(5)).toContain('heapcatch-relay');
    expect(execs.at(-1)).toBe('heapcatch-release');
    const keys = [...world.objects.objects.keys()];
    expect(keys).toContain(objectKeys(answer.objectPrefix!).manifest);
  });

  it('is refused where the policy does not, and the claim is given back', async () => {
    const answer = await start('0');

    expect(answer).toMatchObject({ reason: 'StorageUnreachable' });
    expect([execs.length, deferred.length]).toEqual([2, 0]);
    expect(world.objects.uploads.size).toBe(0);
  });
});
