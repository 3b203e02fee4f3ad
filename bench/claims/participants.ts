import type { CaptureRecord, CaptureStart } from '../../lib/claim/capture-record.ts';
import type { ClaimRequest, ClaimResult } from '../../lib/claim/claim-store.ts';
import { finishWithRight, type Settlement } from '../../lib/capture/finish-right.ts';
import type { ObjectStore } from '../../lib/capture/ports.ts';
import { releaseClaim, releaseDeadClaim } from '../../lib/capture/release-claim.ts';
import { CaptureError } from '../../lib/errors.ts';
import type { Logger } from '../../lib/log.ts';
import { chosen } from './choices.ts';
import { longestOverrunMillis, type Pod, type World } from './world.ts';

const deliveryCount = 3;
const askCount = 3;
/** A claim gives up when something came between so many times, and never before. */
const maxRoundCount = 5;
/** After that a ticket's URL has expired. */
const ticketStartMillis = 300_000;

const silent: Logger = { info: nothing, warn: nothing, error: nothing } as unknown as Logger;
function nothing(): void {
  // What the functions log is of no use here.
}
const objects = {
  abortMultipartUpload: () => Promise.resolve(),
  deleteObject: () => Promise.resolve(),
} as unknown as ObjectStore;

type FunctionRun = ReturnType<World['run']>;

function depsOf(run: FunctionRun) {
  return {
    claims: run.claims,
    clock: run.clock,
    objects,
    logger: silent,
    finisherIdentity: run.name,
    remainingMillis: () => 60_000,
  };
}

/** Asks again with the same arguments when the store did not answer, as every method of it allows. */
async function persist<T>(world: World, ask: () => Promise<T>): Promise<T> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await ask();
    } catch (error) {
      const mayAsk = error instanceof CaptureError && error.retryable && attempt < askCount;
      if (!mayAsk || world.choices.next(4) === 3) throw error;
    }
  }
}

/** One signal: it is delivered again when its run fails, and the same signal may come several times at once. */
export async function deliverSignal(world: World, pod: Pod): Promise<void> {
  for (let delivery = 1; ; delivery += 1) {
    const run = world.run('capture');
    try {
      await capture(world, run, pod);
      return;
    } catch (error) {
      if (!(error instanceof CaptureError) || !error.retryable) throw error;
      if (delivery === deliveryCount) return;
      world.say?.(run.name, `fails: ${error.code}`);
      await world.network.wait(run, 60_000 * delivery + world.network.delayMillis());
    }
  }
}

/** The order of startCapture, from the claim on. */
async function capture(world: World, run: FunctionRun, pod: Pod, isRepeat = false): Promise<void> {
  if (world.gonePods.has(pod.captureId)) return;
  const request = world.request(pod, run.clock(), `${run.name}${isRepeat ? '-again' : ''}`);
  const claim = await claimAs(world, run, request);
  if (claim.outcome === 'refused') {
    world.say?.(run.name, `is refused: ${claim.reason}`);
    if (claim.reason !== 'AlreadyCaptured' || isRepeat) return;
    if (await releaseDeadClaim(depsOf(run), pod.captureId)) await capture(world, run, pod, true);
    return;
  }
  const { record } = claim;
  world.say?.(run.name, `has ${pod.captureId} with token ${record.fencingToken}`);
  try {
    await world.network.wait(run, world.network.delayMillis(run));
    if (world.choices.next(4) === 3) throw unavailable('no upload could be opened');
    await startAgent(world, run, record);
  } catch (error) {
    await world.network.wait(run, world.network.delayMillis(run));
    await releaseClaim(depsOf(run), record, undefined, String(error));
    throw error;
  }
}

/** Holds the answer to what it must not be: a refusal without a reason. */
async function claimAs(
  world: World,
  run: FunctionRun,
  request: ClaimRequest,
): Promise<ClaimResult> {
  const before = world.network.commitCount;
  try {
    const claim = await persist(world, () => run.claims.tryAcquire(request));
    if (claim.outcome === 'refused' && (claim.untilTime ?? '~') <= request.acquireTime) {
      world.oracle.report('stuck', `${run.name}: ${claim.reason} until a time that is over`);
    }
    return claim;
  } catch (error) {
    const moved = world.network.commitCount - before;
    if (String(error).includes('changed between read and write') && moved < maxRoundCount) {
      world.oracle.report('stuck', `${run.name}: ${String(error)}, of ${moved} changes`);
    }
    throw error;
  }
}

async function startAgent(world: World, run: FunctionRun, record: CaptureRecord): Promise<void> {
  const { captureId, fencingToken } = record;
  const refusedRungs: Partial<Record<CaptureStart['rung'], string>> = {};
  for (const rung of ['nodeAgent', 'ephemeralContainer'] as const) {
    const started: CaptureStart = {
      rung,
      refusedRungs: { ...refusedRungs },
      uploadId: 'upload',
      agentName: 'agent',
      startTime: run.clock().toISOString(),
    };
    if (!(await persist(world, () => run.claims.markStarted(captureId, fencingToken, started)))) {
      world.say?.(run.name, 'finds its claim lost');
      return;
    }
    const issuedMillis = world.nowMillis;
    await world.network.wait(run, world.network.delayMillis(run));
    // As startCapture does: not on a pod that was replaced since.
    if (world.gonePods.has(captureId)) break;
    if (world.choices.next(3) < 2) {
      world.queue.at(world.nowMillis + world.network.delayMillis(), () =>
        runAgent(world, record, issuedMillis),
      );
      return;
    }
    world.say?.(run.name, `is refused by ${rung}`);
    refusedRungs[rung] = 'AgentStartFailed';
  }
  await releaseClaim(depsOf(run), record, undefined, 'AgentStartFailed');
  if (world.choices.next(2) === 1) {
    throw unavailable('refused for now');
  }
}

function unavailable(what: string): CaptureError {
  return new CaptureError('ObjectStoreUnavailable', what, { retryable: true });
}

/** Fetches its ticket while that can be, begins before its deadline and stops at it, by its own clock. */
function runAgent(world: World, record: CaptureRecord, issuedMillis: number): void {
  const { captureId } = record;
  const deadlineMillis = Date.parse(record.captureDeadlineTime) - world.clockError();
  const { nowMillis } = world;
  const tooLate = nowMillis >= deadlineMillis || nowMillis > issuedMillis + ticketStartMillis;
  if (tooLate || world.gonePods.has(captureId)) {
    world.say?.('agent', `of ${captureId} does not begin`);
    return;
  }
  const lasts = chosen(world.choices, [1_000, 300_000, 3_600_000, 1_000]);
  const end = chosen(world.choices, ['manifest', 'killed', 'podGone', 'stopped'] as const);
  const endMillis = Math.min(nowMillis + lasts, deadlineMillis);
  world.say?.('agent', `of ${captureId} begins with token ${record.fencingToken}`);
  // A JVM does not stop for an agent that is gone, unless it goes itself.
  const overruns = end === 'killed' || end === 'stopped';
  world.dump(record, endMillis + (overruns ? longestOverrunMillis - 1 : 0), () => {
    world.say?.('dump', `of ${captureId} ends: ${end}`);
    if (end === 'podGone') world.gonePods.add(captureId);
    if (end === 'manifest') notifySeal(world, record);
  });
  // Stopped by its deadline, it says in its manifest that the JVM goes on.
  if (end === 'stopped') {
    world.queue.at(endMillis, () => notifySeal(world, record, { dumpGoesOn: true }));
  }
}

/** What a manifest says, as far as it matters here. */
type Said = Pick<Settlement, 'dumpGoesOn'>;

/** The manifest's notification comes once, twice, or not at all. */
function notifySeal(world: World, record: CaptureRecord, said: Said = {}): void {
  const count = chosen(world.choices, [1, 2, 0, 1]);
  for (let index = 0; index < count; index += 1) {
    world.queue.at(world.nowMillis + world.network.delayMillis(), () =>
      world.spawn('seal', () => seal(world, record, said)),
    );
  }
  // It runs every minute, and this can be the moment.
  if (world.choices.next(4) === 3) world.spawn('sweep', () => sweep(world));
}

/** The order of sealCapture; what is busy or fails is delivered again. */
async function seal(
  world: World,
  { captureId, fencingToken }: CaptureRecord,
  said: Said,
): Promise<void> {
  for (let delivery = 1; delivery <= deliveryCount; delivery += 1) {
    const run = world.run('seal');
    try {
      const record = await run.claims.readCapture(captureId);
      // The manifest names the token of its agent; one of another claim is ignored.
      if (record?.fencingToken !== fencingToken) return;
      const { outcome } = await conclude(world, run, record, said);
      world.say?.(run.name, `of ${captureId}: ${outcome}`);
      if (outcome !== 'busy') return;
    } catch (error) {
      if (!(error instanceof CaptureError) || !error.retryable) throw error;
    }
    await world.network.wait(run, 60_000 * delivery);
  }
}

/** The order of sweepCaptures. */
export async function sweep(world: World): Promise<void> {
  const run = world.run('sweep');
  const overdue = await run.claims.listOverdue(run.clock(), 10);
  const running = await run.claims.listRunning(run.clock(), 10);
  const lost = running.filter(({ captureId }) => world.gonePods.has(captureId));
  for (const record of [...overdue, ...lost]) {
    try {
      const { outcome } = await conclude(world, run, record);
      world.say?.(run.name, `of ${record.captureId}: ${outcome}`);
    } catch (error) {
      if (!(error instanceof CaptureError) || !error.retryable) throw error;
    }
  }
}

function conclude(
  world: World,
  run: FunctionRun,
  found: CaptureRecord,
  manifest?: Said,
): ReturnType<typeof finishWithRight> {
  return finishWithRight(depsOf(run), found, async (record) => {
    await world.network.wait(run, world.network.delayMillis(run));
    if (world.oracle.hasRun(record)) {
      world.oracle.indexed(record);
      return manifest ? { outcome: 'complete', ...manifest } : { outcome: 'salvaged' };
    }
    return { outcome: 'failed' };
  });
}
