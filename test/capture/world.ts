import type { FinishDeps } from '../../lib/capture/conclude-capture.ts';
import type { Manifest, Progress } from '../../lib/capture/manifest.ts';
import type { CaptureDeps } from '../../lib/capture/start-capture.ts';
import { endFrames } from '../../lib/capture/end-frames.ts';
import { ticketSchema, type Ticket } from '../../lib/capture/ticket.ts';
import type { CaptureRecord } from '../../lib/claim/capture-record.ts';
import type { ClaimStore } from '../../lib/claim/claim-store.ts';
import { lockKeyOf } from '../../lib/claim/claim-keys.ts';
import { parseIndexEntry, type IndexEntry } from '../../lib/dump-index/index-entry.ts';
import { objectKeys } from '../../lib/dump-index/object-keys.ts';
import { createMemoryClaimStore } from '../../lib/local/memory-claim-store.ts';
import { createLogger } from '../../lib/log.ts';
import { signalSchema, type Signal } from '../../lib/signal/signal.ts';
import { FakeCluster } from './fake-cluster.ts';
import { md5, MemoryObjectStore } from './memory-object-store.ts';

export const startTime = '2026-01-01T12:00:00.000Z';
export const partBytes = 5 * 1024 * 1024;
const sharedPart = Buffer.alloc(partBytes, 7);

export function signal(changes: Partial<Signal> = {}): Signal {
  return signalSchema.parse({
    schemaVersion: 1,
    clusterName: 'prod',
    namespace: 'shop',
    podName: 'cart-1',
    reason: 'Manual',
    observedTime: startTime,
    ...changes,
  });
}

export interface AgentRun {
  /** Sizes of full parts that end on a record boundary, before the last one. */
  fullPartCount?: number;
  /** The agent dies before its last part, and before its manifest. */
  diesBeforeEnd?: boolean;
  /** The agent dies between its last part and its manifest. */
  diesBeforeManifest?: boolean;
  /** Part numbers that never arrive. */
  lostParts?: readonly number[];
  /** Numbers of the parts, where they are not 1, 2, …; the last one is the end's. */
  partNumbers?: readonly number[];
  /** The object ends in this seek table. */
  seekTable?: Uint8Array;
  progress?: Partial<Progress>;
  manifest?: Partial<Manifest>;
  endRecord?: boolean;
}

/** Everything around the functions, in memory, with a clock that is moved by hand. */
export class World {
  nowMillis = Date.parse(startTime);
  remainingMillis = 60_000;
  retention: FinishDeps['retention'] = { maxDays: 90 };
  claims: ClaimStore = createMemoryClaimStore();
  objects = new MemoryObjectStore();
  cluster = new FakeCluster();
  readonly logLines: string[] = [];
  #runCount = 0;

  advance(seconds: number): void {
    this.nowMillis += seconds * 1000;
  }

  finishDeps(): FinishDeps {
    this.#runCount += 1;
    return {
      claims: this.claims,
      objects: this.objects,
      clusterOf: () => Promise.resolve(this.cluster),
      clock: () => new Date(this.nowMillis),
      logger: createLogger('test', { write: (line) => void this.logLines.push(line) }),
      finisherIdentity: `run-${this.#runCount}`,
      remainingMillis: () => this.remainingMillis,
      retention: this.retention,
    };
  }

  captureDeps(): CaptureDeps {
    return {
      ...this.finishDeps(),
      cluster: this.cluster,
      settings: {
        agentImage: 'heapcatch:1',
        agentCommand: ['/heapcatch/agent', 'start'],
        ticketStartSeconds: 300,
      },
    };
  }

  ticket(url = this.cluster.ticketUrls.at(-1) ?? ''): Ticket {
    const body = this.objects.getByUrl(url);
    if (body === undefined) throw new Error(`no ticket at ${url}`);
    return ticketSchema.parse(JSON.parse(Buffer.from(body).toString()));
  }

  /** Does what an agent does with its ticket. */
  async runAgent(run: AgentRun = {}): Promise<Manifest> {
    const ticket = this.ticket();
    const evidence: Manifest['evidence'] = [];
    for (const { artifact, putUrl } of ticket.evidence) {
      const body = Buffer.from(`${artifact} of ${ticket.captureId}`);
      await this.objects.putByUrl(putUrl, body);
      evidence.push({ artifact, bytes: body.byteLength, md5: md5(body) });
    }
    await this.objects.putByUrl(ticket.progressUrl, json(this.#progress(ticket, run)));
    const dump = await this.#sendParts(ticket, run);
    const manifest: Manifest = {
      schemaVersion: 1,
      captureId: ticket.captureId,
      fencingToken: ticket.fencingToken,
      rung: ticket.rung,
      agentVersion: '0.1.0',
      times: { startTime, dumpStartTime: startTime, durableTime: startTime, endTime: startTime },
      jvm: { pid: 1, jdkVersion: '21' },
      evidence,
      ...(dump === undefined ? {} : { dump }),
      faults: [],
      ...run.manifest,
    };
    if (run.diesBeforeEnd !== true && run.diesBeforeManifest !== true) {
      await this.objects.putByUrl(ticket.manifestUrl, json(manifest));
    }
    return manifest;
  }

  #progress(ticket: Ticket, run: AgentRun): Progress {
    return {
      schemaVersion: 1,
      captureId: ticket.captureId,
      fencingToken: ticket.fencingToken,
      time: startTime,
      step: 'heapDump',
      rawBytes: 0,
      compressedBytes: 0,
      sentBytes: 0,
      sentPartCount: 0,
      openParts: [],
      jvm: { pid: 1, jdkVersion: '21' },
      ...run.progress,
    };
  }

  async #sendParts(ticket: Ticket, run: AgentRun): Promise<Manifest['dump']> {
    if (ticket.heapDump === undefined) return undefined;
    const { body, endFrameBytes } = endFrames(100);
    const end = Buffer.concat([body, run.seekTable ?? Buffer.alloc(0)]);
    const full = Array.from({ length: run.fullPartCount ?? 2 }, () => sharedPart);
    const bodies = run.diesBeforeEnd === true ? full : [...full, end];
    const parts = [];
    for (const [index, body] of bodies.entries()) {
      const partNumber = run.partNumbers?.[index] ?? index + 1;
      const url = ticket.heapDump.partUrls[partNumber - 1] ?? '';
      const lost = run.lostParts?.includes(partNumber) === true;
      const eTag = lost ? `"${md5(body)}"` : await this.objects.putByUrl(url, body);
      parts.push({ partNumber, bytes: body.byteLength, md5: md5(body), eTag });
    }
    return {
      codec: 'zstd',
      rawBytes: 123_456,
      compressedBytes: parts.reduce((sum, part) => sum + part.bytes, 0),
      sha256: '0'.repeat(64),
      identifierByteSize: 8,
      recordCount: 42,
      endRecord: run.endRecord ?? true,
      appendedBytes: run.endRecord === false ? 109 : 0,
      endFrameBytes,
      ...(run.seekTable && { seekTableBytes: run.seekTable.length }),
      parts,
    };
  }

  /** A manifest without a dump, put after the ticket is gone. */
  async runAgentsLateManifest(record: CaptureRecord): Promise<void> {
    const { captureId, fencingToken } = record;
    const times = { startTime, endTime: startTime };
    const account = { schemaVersion: 1, captureId, fencingToken, rung: 'nodeAgent', times };
    const manifest = { ...account, agentVersion: '0.1.0', evidence: [], faults: [] };
    const { manifest: objectKey } = objectKeys(record.objectPrefix);
    await this.objects.putObject(objectKey, json(manifest), { contentType: 'application/json' });
  }

  async record(): Promise<CaptureRecord> {
    const record = await this.claims.readCapture(this.ticket().captureId);
    if (record === undefined) throw new Error('no record');
    return record;
  }

  indexEntries(): IndexEntry[] {
    return this.objects
      .keysUnder('index/')
      .map((key) => parseIndexEntry(Buffer.from(this.objects.objects.get(key)!.body).toString()));
  }

  async lockHolder(): Promise<string | undefined> {
    const workload = { kind: 'Deployment', name: 'cart' };
    const lockKey = lockKeyOf({ clusterName: 'prod', namespace: 'shop', workload });
    return (await this.claims.readHistory(lockKey)).holderIdentity;
  }
}

export function json(value: unknown): Buffer {
  return Buffer.from(JSON.stringify(value));
}
