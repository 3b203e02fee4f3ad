import { createHash } from 'node:crypto';
import { setTimeout as wait } from 'node:timers/promises';
import type { CaptureRecord } from '../claim/capture-record.ts';
import { objectKeys } from '../dump-index/object-keys.ts';
import { CaptureError, messageOf } from '../errors.ts';
import type { Logger } from '../log.ts';
import { relayScript, releaseScript } from './exec-scripts.ts';
import { manifestSchema, type Manifest } from './manifest.ts';
import type { Clock, ClusterApi, ObjectStore } from './ports.ts';
import { RelayFrames, type RelayFrame } from './relay-frames.ts';
import { RelayRecords, type RelayAccount, type RelayRecord } from './relay-records.ts';
import { targetOf } from './start-exec-agent.ts';
import type { RelayJob, RelaySettings } from './start-relay.ts';
import type { Ticket } from './ticket.ts';

type DumpResult = NonNullable<Manifest['dump']>;

/** A heap dump on its way into its upload, as its raw bytes come. */
export interface RelayedDump {
  /** Resolves when the bytes were taken. @throws CaptureError InvalidHprof; what an upload threw. */
  push(bytes: Uint8Array): Promise<void>;
  readonly storedPartCount: number;
  /** Makes what came parseable and durable; `undefined` when it holds no record. @throws what an upload threw. */
  finish(): Promise<DumpResult | undefined>;
}

export type OpenRelayedDump = (upload: {
  objects: ObjectStore;
  record: CaptureRecord;
  uploadId: string;
  order: NonNullable<Ticket['heapDump']>;
}) => Promise<RelayedDump>;

export interface RelayDeps extends Pick<RelaySettings, 'openDump' | 'pauseRelay'> {
  cluster: ClusterApi;
  objects: ObjectStore;
  clock: Clock;
  logger: Logger;
}

/**
 * A connection is given up after a minute, whatever comes: one that died without a word is not told from one on which
 * nothing moves, and to begin anew costs a second.
 */
const maxConnectionSeconds = 60;
/** Connections in a row that brought nothing. The agent itself gives a dump that does not grow up after a minute. */
const maxIdleConnectionCount = 4;
/** A container that breaks each connection after a byte ends here. */
const maxConnectionCount = 60;
const pauseMillis = 500;
/** Kept for what is not yet stored when the connection ends, and the manifest. */
const finishMillis = 20_000;
const releaseSeconds = 10;

const relayOptions = [
  ...['-XX:+IgnoreUnrecognizedVMOptions', '-Xms4m', '-Xmx16m', '-Xss256k', '-XX:+UseSerialGC'],
  ...['-XX:TieredStopAtLevel=1', '-XX:-UsePerfData', '-XX:+DisableAttachMechanism'],
];

/**
 * Fetches what an agent keeps, stores it, and puts the manifest; seal does the rest, as always. A connection that is
 * lost or brings nonsense is made anew from the last byte that was verified. Never throws: what could not be stored is
 * named in the manifest, or the parts are left to sweep.
 */
export async function relayCapture(deps: RelayDeps, job: RelayJob): Promise<void> {
  const { record } = job.order;
  const logger = deps.logger.with({ captureId: record.captureId });
  const relay = new Relay(deps, job);
  try {
    await relay.fetch();
    const manifest = await relay.finish();
    await release(deps, job);
    const objectKey = objectKeys(record.objectPrefix).manifest;
    const contentType = 'application/json';
    await deps.objects.putObject(objectKey, Buffer.from(JSON.stringify(manifest)), { contentType });
    logger.info('capture relayed', { ...relay.counts, faults: manifest.faults });
  } catch (error) {
    // Without a manifest sweep keeps the parts that lie there.
    logger.error('capture not relayed', { ...relay.counts, error });
    await release(deps, job);
  }
}

/** Best effort: at its deadline the agent removes everything by itself. */
async function release({ cluster, logger }: RelayDeps, { order, place }: RelayJob): Promise<void> {
  try {
    await cluster.exec(
      targetOf(order.record),
      ['sh', '-c', releaseScript, 'heapcatch-release', place],
      { deadlineSeconds: releaseSeconds },
    );
  } catch (error) {
    logger.warn('relayed agent not released', { captureId: order.record.captureId, error });
  }
}

/** One capture as it comes out of the container. */
class Relay {
  readonly #deps: RelayDeps;
  readonly #job: RelayJob;
  readonly #startTime: string;
  readonly #records = new RelayRecords();
  readonly #evidence: Manifest['evidence'] = [];
  readonly #faults: Manifest['faults'] = [];
  /** Bytes of each stream that were verified and taken. */
  readonly #taken = { records: 0, dump: 0 };
  #connectionCount = 0;
  #dump: RelayedDump | undefined;
  #account: RelayAccount | undefined;
  #ended = false;

  constructor(deps: RelayDeps, job: RelayJob) {
    this.#deps = deps;
    this.#job = job;
    this.#startTime = deps.clock().toISOString();
  }

  get counts(): Record<string, number> {
    const { records: recordBytes, dump: dumpBytes } = this.#taken;
    return { recordBytes, dumpBytes, connectionCount: this.#connectionCount };
  }

  /** Ends when everything came, or with a fault. */
  async fetch(): Promise<void> {
    const { clock, pauseRelay = wait } = this.#deps;
    const stopTime = this.#job.deadline - finishMillis;
    let idleCount = 0;
    let words = 'the connection ended';
    while (!this.#ended) {
      const leftSeconds = (stopTime - clock().getTime()) / 1_000;
      const over =
        leftSeconds < 1
          ? 'the time was over'
          : idleCount > maxIdleConnectionCount || this.#connectionCount >= maxConnectionCount
            ? `${this.#connectionCount} connections were not enough`
            : undefined;
      if (over !== undefined) {
        this.#note(
          new CaptureError('RelayFailed', `the relay did not come to its end: ${over}; ${words}`),
        );
        return;
      }
      if (this.#connectionCount > 0) await pauseRelay(pauseMillis);
      const before = this.#taken.records + this.#taken.dump;
      try {
        words = await this.#connect(Math.min(leftSeconds, maxConnectionSeconds));
      } catch (error) {
        if (!(error instanceof CaptureError) || !error.retryable || isStorageFault(error)) {
          this.#note(error);
          return;
        }
        words = messageOf(error, 200);
      }
      idleCount = this.#taken.records + this.#taken.dump > before ? 0 : idleCount + 1;
    }
  }

  /** @returns how it ended. @throws what a frame, a record, the cluster or an upload is refused with. */
  async #connect(seconds: number): Promise<string> {
    const { order, java, place } = this.#job;
    this.#connectionCount += 1;
    const frames = new RelayFrames();
    const deadlineSeconds = Math.ceil(seconds);
    const main = ['-cp', `${place}/agent.jar`, 'dev.heapcatch.exec.Relay', place];
    const { exitCode = 'unknown', stderr } = await this.#deps.cluster.exec(
      targetOf(order.record),
      [
        ...['sh', '-c', relayScript, 'heapcatch-relay', java, ...relayOptions],
        `-Dheapcatch.relaySeconds=${deadlineSeconds}`,
        ...[...main, `${this.#taken.records}`, `${this.#taken.dump}`],
      ],
      {
        deadlineSeconds,
        onStdout: async (piece) => {
          for (const frame of frames.push(piece)) await this.#take(frame);
        },
      },
    );
    return `the last one ended with exit code ${exitCode}: ${stderr.trim().slice(-200)}`;
  }

  async #take({ stream, offset, bytes }: RelayFrame): Promise<void> {
    if (this.#ended) throw new CaptureError('RelayFailed', 'the relay goes on behind its end');
    if (stream === 'end') {
      if (this.#account === undefined) {
        throw new CaptureError('RelayFailed', 'the relay ended without the account of the agent');
      }
      this.#ended = true;
      return;
    }
    if (offset !== this.#taken[stream]) {
      throw new CaptureError(
        'RelayFailed',
        `a frame of ${stream} begins at ${offset}; the one asked for begins at ${this.#taken[stream]}`,
        { retryable: true },
      );
    }
    if (stream === 'dump') await this.#takeDump(bytes);
    else for (const record of this.#records.push(bytes)) await this.#takeRecord(record);
    this.#taken[stream] += bytes.length;
  }

  async #takeDump(bytes: Uint8Array): Promise<void> {
    const { order, maxDumpBytes } = this.#job;
    const { ticket, uploadId, record } = order;
    const dumpBytes = this.#taken.dump + bytes.length;
    if (ticket.heapDump === undefined || uploadId === undefined) {
      throw new CaptureError(
        'RelayFailed',
        'the container sends a heap dump that nobody asked for',
      );
    }
    if (dumpBytes > maxDumpBytes) {
      throw new CaptureError(
        'RelayFailed',
        `the dump has over ${maxDumpBytes} bytes, which is what can be relayed; the rest was not fetched`,
      );
    }
    const { openDump, objects } = this.#deps;
    this.#dump ??= await openDump({ objects, record, uploadId, order: ticket.heapDump });
    await this.#dump.push(bytes);
  }

  async #takeRecord(record: RelayRecord): Promise<void> {
    if (record.kind === 'end') {
      this.#account = record.account;
      return;
    }
    const { artifact, body } = record;
    const { ticket, record: capture } = this.#job.order;
    if (!ticket.evidence.some((order) => order.artifact === artifact)) {
      throw new CaptureError(
        'RelayFailed',
        `the container sends ${artifact}, for which nobody asked`,
      );
    }
    const objectKey = objectKeys(capture.objectPrefix).evidence(artifact);
    const contentType = 'application/octet-stream';
    await this.#deps.objects.putObject(objectKey, body, { contentType });
    const md5 = createHash('md5').update(body).digest('hex');
    this.#evidence.push({ artifact, bytes: body.length, md5 });
  }

  /** @throws when parts lie there that no manifest can account for. */
  async finish(): Promise<Manifest> {
    const { record } = this.#job.order;
    const { captureId, fencingToken } = record;
    let dump: DumpResult | undefined;
    try {
      dump = await this.#dump?.finish();
    } catch (error) {
      if (this.#dump !== undefined && this.#dump.storedPartCount > 0) throw error;
      this.#note(error);
    }
    const now = this.#deps.clock().toISOString();
    const account = this.#account ?? {
      agentVersion: 'unknown',
      times: { startTime: this.#startTime, endTime: now },
      faults: [],
    };
    return manifestSchema.parse({
      ...account,
      ...{ schemaVersion: 1, captureId, fencingToken, rung: 'exec' },
      times: { ...account.times, ...(dump && { durableTime: now }) },
      evidence: this.#evidence,
      ...(dump && { dump }),
      faults: [...this.#faults, ...account.faults].slice(0, 20),
    });
  }

  #note(error: unknown): void {
    const code = error instanceof CaptureError ? error.code : 'RelayFailed';
    this.#faults.push({ code, message: messageOf(error) });
  }
}

/** The adapter has tried again by itself, and the bytes are taken: another connection would not bring them again. */
function isStorageFault({ code }: CaptureError): boolean {
  return code === 'ObjectStoreUnavailable';
}
