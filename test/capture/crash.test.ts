import { describe, expect, it } from '@jest/globals';
import { sealCapture } from '../../lib/capture/seal.ts';
import { startCapture } from '../../lib/capture/start-capture.ts';
import { sweepCaptures } from '../../lib/capture/sweep.ts';
import { signal, World, type AgentRun } from './world.ts';

/** The process ends at a call: before the call takes effect, or after it with its reply lost. */
const moments = ['before', 'after'] as const;
type Moment = (typeof moments)[number];

class ProcessEnded extends Error {}

/** Lets a function make so many calls to its ports; at the next one the process is dead, and so is every later one. */
class Mortal {
  callCount = 0;
  readonly #lastCall: number;
  readonly #moment: Moment;

  constructor(lastCall: number, moment: Moment) {
    this.#lastCall = lastCall;
    this.#moment = moment;
  }

  get died(): boolean {
    return this.callCount >= this.#lastCall;
  }

  port<T extends object>(port: T): T {
    return new Proxy(port, {
      get: (target, name, receiver) => {
        const value: unknown = Reflect.get(target, name, receiver);
        if (typeof value !== 'function') return value;
        return async (...parameters: unknown[]): Promise<unknown> => {
          this.callCount += 1;
          const call = (): unknown => Reflect.apply(value, target, parameters);
          if (this.callCount < this.#lastCall) return call();
          if (this.callCount === this.#lastCall && this.#moment === 'after') await call();
          throw new ProcessEnded(`call ${this.callCount}: ${String(name)}`);
        };
      },
    });
  }

  deps<T extends { claims: object; objects: object; cluster?: object }>(deps: T, world: World): T {
    return {
      ...deps,
      claims: this.port(deps.claims),
      objects: this.port(deps.objects),
      ...(deps.cluster === undefined ? {} : { cluster: this.port(deps.cluster) }),
      clusterOf: () => Promise.resolve(this.port(world.cluster)),
    };
  }
}

const never = Number.POSITIVE_INFINITY;

/** Tries what Lambda would try again, a bounded number of times and some minutes apart. */
async function withRetries(world: World, run: () => Promise<unknown>): Promise<void> {
  for (let tries = 0; tries < 3; tries += 1) {
    try {
      await run();
      return;
    } catch {
      world.advance(150);
    }
  }
}

async function sweepAtLeaseEnd(world: World): Promise<void> {
  world.advance(3_600);
  await sweepCaptures(world.finishDeps(), { limit: 100 });
}

function seal(world: World, mortal = new Mortal(never, 'before')): () => Promise<unknown> {
  return async () => {
    const { captureId, objectPrefix } = await world.record();
    const arrived = { captureId, prefixes: [objectPrefix] };
    return sealCapture(mortal.deps(world.finishDeps(), world), arrived);
  };
}

/** What must hold whenever and wherever a process ended, once everything else has had its turn. */
async function expectSettled(world: World, where: string): Promise<void> {
  const entries = world.indexEntries();
  expect([where, entries.length]).toEqual([where, 1]);
  expect([where, await world.lockHolder()]).toEqual([where, undefined]);
  const evidence = world.objects.keysUnder('dumps/').filter((key) => key.endsWith('.txt'));
  const indexed = entries[0]?.objects.evidence.map(({ objectKey }) => objectKey).sort();
  expect([where, indexed]).toEqual([where, evidence]);
  expect([where, await world.claims.listOverdue(new Date(world.nowMillis), 100)]).toEqual([
    where,
    [],
  ]);
}

describe('startCapture ended at any call', () => {
  it.each(moments)(
    '%s it took effect: one capture, one agent, one entry, a free lock',
    async (moment) => {
      let callCount = 0;
      const outcomes = new Set<string>();
      for (let lastCall = 1; ; lastCall += 1) {
        const world = new World();
        const mortal = new Mortal(lastCall, moment);
        await startCapture(mortal.deps(world.captureDeps(), world), signal()).catch(
          () => undefined,
        );
        if (!mortal.died) break;
        callCount = lastCall;
        const where = `call ${lastCall}, ${moment}`;
        world.advance(120);
        await withRetries(world, () => startCapture(world.captureDeps(), signal()));
        expect([where, world.cluster.ticketUrls.length <= 1]).toEqual([where, true]);
        if (world.cluster.ticketUrls.length > 0) {
          await world.runAgent();
          await seal(world)();
        }
        await sweepAtLeaseEnd(world);
        await expectSettled(world, where);
        outcomes.add(world.indexEntries()[0]!.state);
      }

      expect(callCount).toBeGreaterThan(12);
      expect([...outcomes].sort()).toEqual(['complete', 'failed']);
    },
  );
});

const runs: readonly [string, AgentRun, string][] = [
  ['a whole dump', {}, 'complete'],
  ['a dump with a part that is not stored', { fullPartCount: 3, lostParts: [2] }, 'salvaged'],
];

describe('sealCapture ended at any call', () => {
  const cases = runs.flatMap(([name, run, state]) =>
    moments.flatMap((moment) =>
      (['seal', 'sweep'] as const).map((rescuer) => ({ name, run, state, moment, rescuer })),
    ),
  );

  it.each(cases)('$moment it took effect, with $name: $rescuer ends it', async (one) => {
    let callCount = 0;
    for (let lastCall = 1; ; lastCall += 1) {
      const world = new World();
      await startCapture(world.captureDeps(), signal());
      await world.runAgent(one.run);
      const mortal = new Mortal(lastCall, one.moment);
      const url = world.cluster.ticketUrls[0]!;
      const ticket = world.objects.getByUrl(url)!;
      await seal(world, mortal)().catch(() => undefined);
      if (!mortal.died) break;
      callCount = lastCall;
      // The world finds its capture by the ticket, which the dead run may have deleted.
      await world.objects.putByUrl(url, ticket);
      if (one.rescuer === 'seal') await withRetries(world, seal(world));
      else await sweepAtLeaseEnd(world);
      await expectSettled(world, `call ${lastCall}, ${one.moment}, ${one.rescuer}`);
      expect(world.indexEntries()[0]?.state).toBe(one.state);
    }

    expect(callCount).toBeGreaterThan(12);
  });
});

describe('sweepCaptures ended at any call', () => {
  const sweptRuns: readonly [string, AgentRun, string][] = [
    ['parts', { diesBeforeEnd: true }, 'salvaged'],
    [
      'parts and an open record',
      {
        diesBeforeEnd: true,
        progress: { openParts: [{ partNumber: 2, remainingBytes: 5_000_000 }] },
      },
      'salvaged',
    ],
    ['evidence alone', { diesBeforeEnd: true, fullPartCount: 0 }, 'evidence-only'],
    ['everything', {}, 'complete'],
  ];
  const cases = sweptRuns.flatMap(([name, run, state]) =>
    moments.map((moment) => ({ name, run, state, moment })),
  );

  it.each(cases)('$moment it took effect, with $name: the next run ends it', async (one) => {
    let callCount = 0;
    const sizes = new Set<number | undefined>();
    for (let lastCall = 1; ; lastCall += 1) {
      const world = new World();
      await startCapture(world.captureDeps(), signal());
      await world.runAgent(one.run);
      world.advance(3_600);
      const mortal = new Mortal(lastCall, one.moment);
      const deps = mortal.deps(world.finishDeps(), world);
      await sweepCaptures(deps, { limit: 10 }).catch(() => undefined);
      if (!mortal.died) break;
      callCount = lastCall;
      await sweepAtLeaseEnd(world);
      await expectSettled(world, `call ${lastCall}, ${one.moment}`);
      expect(world.indexEntries()[0]?.state).toBe(one.state);
      sizes.add(world.indexEntries()[0]?.objects.heapDump?.compressedBytes);
    }

    expect(callCount).toBeGreaterThan(10);
    // A second end record would make the dump longer, and break its chain.
    expect(sizes.size).toBe(1);
  });
});

describe('runs at once', () => {
  it('end a capture once, however their calls interleave', async () => {
    for (let seed = 1; seed <= 40; seed += 1) {
      const world = new World();
      await startCapture(world.captureDeps(), signal());
      await world.runAgent({ diesBeforeManifest: seed % 2 === 0 });
      world.advance(3_600);
      const random = seededRandom(seed);
      const slow = <T extends object>(port: T): T => slowed(port, random);
      const deps = () => {
        const { claims, objects, ...rest } = world.finishDeps();
        return { ...rest, claims: slow(claims), objects: slow(objects) };
      };
      const { captureId, objectPrefix } = await world.record();
      const arrived = { captureId, prefixes: [objectPrefix] };

      await Promise.allSettled([
        sealCapture(deps(), arrived),
        sealCapture(deps(), arrived),
        sweepCaptures(deps(), { limit: 10 }),
        sweepCaptures(deps(), { limit: 10 }),
      ]);

      await expectSettled(world, `seed ${seed}`);
      expect(world.indexEntries()[0]?.state).toBe(seed % 2 === 0 ? 'salvaged' : 'complete');
    }
  });

  it('start one agent, however many copies of a signal come at once', async () => {
    for (let seed = 1; seed <= 40; seed += 1) {
      const world = new World();
      const random = seededRandom(seed);
      const slow = <T extends object>(port: T): T => slowed(port, random);
      const copies = Array.from({ length: 4 }, () => {
        const { claims, objects, cluster, ...rest } = world.captureDeps();
        const deps = {
          ...rest,
          claims: slow(claims),
          objects: slow(objects),
          cluster: slow(cluster),
        };
        return startCapture(deps, signal());
      });

      await Promise.allSettled(copies);

      expect([seed, world.cluster.execCommands.length]).toEqual([seed, 1]);
      expect([seed, world.objects.uploads.size]).toEqual([seed, 1]);
    }
  });
});

/** Every call waits a few turns first, each time other ones. */
function slowed<T extends object>(port: T, random: () => number): T {
  return new Proxy(port, {
    get: (target, name, receiver) => {
      const value: unknown = Reflect.get(target, name, receiver);
      if (typeof value !== 'function') return value;
      return async (...parameters: unknown[]): Promise<unknown> => {
        for (let turns = random() % 6; turns > 0; turns -= 1) await Promise.resolve();
        return Reflect.apply(value, target, parameters) as unknown;
      };
    },
  });
}

/** Numerical Recipes' linear congruence: repeatable, and good enough to shuffle. */
function seededRandom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state * 1_664_525 + 1_013_904_223) % 4_294_967_296;
    return Math.floor(state / 65_536);
  };
}
