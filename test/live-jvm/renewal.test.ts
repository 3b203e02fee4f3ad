import { afterEach, beforeEach, describe, expect, it, jest } from '@jest/globals';
import { createS3ObjectStore } from '../../lib/aws/s3-object-store.ts';
import type { ObjectStore } from '../../lib/capture/ports.ts';
import { renewTickets } from '../../lib/capture/renew-tickets.ts';
import { sealCapture } from '../../lib/capture/seal.ts';
import { startCapture } from '../../lib/capture/start-capture.ts';
import { ticketSchema, type Ticket } from '../../lib/capture/ticket.ts';
import type { CaptureRecord } from '../../lib/claim/capture-record.ts';
import { objectKeys, ticketKey } from '../../lib/dump-index/object-keys.ts';
import {
  startLocalObjectStore,
  type LocalObjectStore,
} from '../../lib/local/object-store/object-store.ts';
import { containerID, podUid } from '../agent/tickets.ts';
import { podFacts } from '../capture/fake-cluster.ts';
import { signal, World } from '../capture/world.ts';
import { AgentLab, marker, walkStored } from './agent-lab.ts';
import { jdksUnderTest } from './jdks.ts';
import { nextLook } from './next-look.ts';

jest.setTimeout(120_000);

/** Functions of heapcatch in this process, a JVM and an agent as processes, and between them a bucket over HTTP. */
class Stage {
  readonly lab = new AgentLab();
  readonly world = new World();
  readonly store: LocalObjectStore;
  /** As the capture function signs, and as sweep does. */
  readonly capture: { accessKeyId: string; secretAccessKey: string };
  readonly sweep: ObjectStore;
  record!: CaptureRecord;
  ticket!: Ticket;
  log = '';
  #endCode: number | null | undefined;

  constructor(store: LocalObjectStore) {
    this.store = store;
    this.capture = store.issueCredentials();
    this.sweep = createS3ObjectStore({ ...store, credentials: store.issueCredentials() });
    this.world.nowMillis = Date.now();
    const volumeMounts = [
      { volumeName: 'dumps', mountPath: this.lab.dumps, readOnly: false, volumeType: 'emptyDir' },
    ] as const;
    this.world.cluster.pod = podFacts({ podUid }, { containerID, volumeMounts });
  }

  /** Claims, and writes the first ticket, changed as the test wants it. @returns the ticket's URL. */
  async issueTicket(change: (ticket: Ticket) => Ticket): Promise<string> {
    const objects = createS3ObjectStore({ ...this.store, credentials: this.capture });
    const deps = { ...this.world.captureDeps(), objects };
    const answer = await startCapture(deps, signal({ observedTime: new Date().toISOString() }));
    const record = await this.world.claims.readCapture(answer.captureId ?? '');
    if (record === undefined) throw new Error(`not started: ${answer.message}`);
    this.record = record;
    this.ticket = change(await this.#storedTicket());
    const body = Buffer.from(JSON.stringify(this.ticket));
    await objects.putObject(this.#ticketKey, body, { contentType: 'application/json' });
    return this.world.cluster.ticketUrls.at(-1) ?? '';
  }

  get #ticketKey(): string {
    return ticketKey(this.record.captureId, this.record.fencingToken);
  }

  async #storedTicket(): Promise<Ticket> {
    const body = await this.sweep.getObject(this.#ticketKey, { maxBytes: 10_000_000 });
    return ticketSchema.parse(JSON.parse(Buffer.from(body!).toString()));
  }

  startAgent(ticketUrl: string): Promise<number | null> {
    const { child, ended } = this.lab.startAgent('capture', { HEAPCATCH_TICKET_URL: ticketUrl });
    child.stderr?.on('data', (chunk: Buffer) => (this.log += chunk.toString()));
    return ended.then(({ code }) => (this.#endCode = code));
  }

  /** @throws when the agent has ended, and what is waited for cannot come any more. */
  #expectAgent(): void {
    if (this.#endCode === undefined) return;
    throw new Error(`the agent ended with ${this.#endCode}: ${this.log}`);
  }

  /** Runs what the schedule runs, until it has renewed the ticket. */
  async renewWhenAsked(): Promise<void> {
    for (;;) {
      this.world.nowMillis = Date.now();
      const deps = { ...this.world.finishDeps(), objects: this.sweep };
      const { renewed, refused } = await renewTickets(deps, { limit: 10 });
      if (refused[0]) throw new Error(refused[0].message);
      if (renewed.length > 0) return;
      this.#expectAgent();
      await nextLook(50);
    }
  }

  async agentSays(words: string): Promise<void> {
    while (!this.log.includes(words)) {
      this.#expectAgent();
      await nextLook();
    }
  }

  /** Seals, and reads the stored dump. */
  async seal(): Promise<{ state: string; dump: Buffer }> {
    const { captureId, objectPrefix: prefix } = this.record;
    const deps = { ...this.world.finishDeps(), objects: this.sweep };
    const answer = await sealCapture(deps, { captureId, prefixes: [prefix] });
    const state = 'state' in answer ? answer.state : answer.outcome;
    const { heapDump } = objectKeys(prefix);
    const body = await this.sweep.getObject(heapDump, { maxBytes: 2 ** 30 });
    return { state, dump: Buffer.from(body ?? []) };
  }

  async close(): Promise<void> {
    await this.lab.close();
    await this.store.close();
  }
}

let stage: Stage;
beforeEach(async () => {
  stage = new Stage(await startLocalObjectStore());
});
afterEach(async () => {
  await stage.close();
});

/** Asks for a fresh ticket at once, where a real one is asked for after minutes. */
const askAtOnce = (ticket: Ticket): Ticket => ({
  ...ticket,
  renewal: { ...ticket.renewal!, wishTime: ticket.issuedTime },
});

/** As if the dump had been thought to be small. */
const withPartUrls =
  (partCount: number) =>
  (ticket: Ticket): Ticket => ({
    ...ticket,
    heapDump: {
      ...ticket.heapDump!,
      expectedBytes: 1_000_000,
      partUrls: ticket.heapDump!.partUrls.slice(0, partCount),
    },
  });

describe.each(jdksUnderTest().map((jdk) => [jdk.version, jdk] as const))(
  'a dump of JDK %s',
  (_version, jdk) => {
    it('arrives whole by the URLs of a fresh ticket when the first ones end in its middle', async () => {
      await stage.lab.startJvm(jdk, 'RandomHeap', { args: ['30', '10', marker] });
      const ticketUrl = await stage.issueTicket(askAtOnce);
      // JDK ≥ 22 writes the heap to a segment, whose part numbers begin at 17.
      const partNumber = jdk.major >= 22 ? 18 : 2;
      stage.store.faults.next({ method: 'PUT', partNumber, kind: 'slow-down', times: 10_000 });

      const ended = stage.startAgent(ticketUrl);
      await stage.renewWhenAsked();
      await stage.agentSays('has a fresh ticket');
      stage.store.endCredentials(stage.capture.accessKeyId);
      stage.store.faults.clear();
      const code = await ended;

      const { state, dump } = await stage.seal();
      expect([code, state]).toEqual([0, 'complete']);
      expect(walkStored(dump)).toMatchObject({ ended: true, found: true });
      expect(stage.log).not.toMatch(/X-Amz-|Signature/);
    });

    it('arrives whole by the part URLs of a fresh ticket when it is larger than was thought', async () => {
      await stage.lab.startJvm(jdk, 'RandomHeap', { args: ['30', '10', marker] });
      const ticketUrl = await stage.issueTicket(withPartUrls(jdk.major >= 22 ? 8 : 3));

      const ended = stage.startAgent(ticketUrl);
      await stage.renewWhenAsked();
      const code = await ended;

      const { state, dump } = await stage.seal();
      expect([code, state]).toEqual([0, 'complete']);
      expect(walkStored(dump)).toMatchObject({ ended: true, found: true });
    });
  },
);
