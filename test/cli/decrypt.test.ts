import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { zstdCompressSync } from 'node:zlib';
import { sealAccount, sealFrame, type SealedObject } from '../../lib/capture/sealed-frames.ts';
import { sealCapture } from '../../lib/capture/seal.ts';
import { startCapture } from '../../lib/capture/start-capture.ts';
import { decrypt, type DecryptIo } from '../../lib/cli/decrypt/command.ts';
import { indexKey } from '../../lib/dump-index/object-keys.ts';
import type { IndexEntry } from '../../lib/dump-index/index-entry.ts';
import { endRecord } from '../../lib/hprof/end-record.ts';
import { createMemoryDataKeys } from '../../lib/local/memory-data-keys.ts';
import type { Artifact } from '../../lib/policy/policy.ts';
import { podFacts } from '../capture/fake-cluster.ts';
import { json, signal, World } from '../capture/world.ts';

const blocks = ['first', 'second'].map((text) => zstdCompressSync(Buffer.from(text)));
const end = zstdCompressSync(endRecord);

describe('heapcatch decrypt', () => {
  let folder: string;
  let world: World;
  let io: DecryptIo;
  let key: string;
  let entry: IndexEntry;
  let said: string;
  let errors: string;

  const sealed = (artifact: Artifact, contents: readonly Buffer[]): Buffer[] => {
    const { captureId, fencingToken, encryption } = ticket;
    const dataKey = Buffer.from(encryption!.dataKey, 'base64');
    const object: SealedObject = { captureId, fencingToken, artifact, dataKey };
    const frames = contents.map((bytes, number) =>
      sealFrame(object, { kind: 'data', stream: 1, number }, bytes),
    );
    return [...frames, sealAccount(object, [{ stream: 1, frameCount: frames.length }])];
  };
  let ticket: ReturnType<World['ticket']>;

  /** Stores this in place of what the index entry names, and the entry with its size. */
  const store = async (changes: { dump: Buffer[]; state?: IndexEntry['state'] }) => {
    const { evidence, heapDump } = entry.objects;
    const threads = evidence.find(({ artifact }) => artifact === 'threads')!;
    const bodies = {
      threads: Buffer.concat(sealed('threads', [Buffer.from('"main" #1')])),
      dump: Buffer.concat(changes.dump),
    };
    const put = (objectKey: string, body: Buffer) =>
      world.objects.putObject(objectKey, body, { contentType: 'application/octet-stream' });
    await put(threads.objectKey, bodies.threads);
    await put(heapDump!.objectKey, bodies.dump);
    const { state = entry.state } = changes;
    const objects = {
      ...entry.objects,
      evidence: [{ ...threads, bytes: bodies.threads.length }],
      heapDump: { ...heapDump, compressedBytes: bodies.dump.length },
    };
    await put(key, json({ ...entry, state, objects }));
  };
  const run = () => decrypt([`s3://dumps/${key}`, '--to', folder], io);

  beforeEach(async () => {
    folder = mkdtempSync(join(tmpdir(), 'heapcatch-decrypt-'));
    [said, errors] = ['', ''];
    world = new World();
    world.cluster.pod = podFacts({ annotations: { 'heapcatch.dev/encrypt': 'true' } });
    const dataKeys = createMemoryDataKeys();
    await startCapture({ ...world.captureDeps(), dataKeys }, signal());
    ticket = world.ticket();
    const record = await world.record();
    key = indexKey(record);
    await world.runAgent();
    const { captureId, objectPrefix } = record;
    await sealCapture(world.finishDeps(), { captureId, prefixes: [objectPrefix] });
    entry = world.indexEntries()[0]!;
    io = {
      objectsOf: () => world.objects,
      dataKeys,
      write: (text) => (said += text),
      writeError: (text) => (errors += text),
    };
  });
  afterEach(() => rmSync(folder, { recursive: true }));

  it('writes what a capture stored, for nobody else to read', async () => {
    await store({ dump: [...sealed('heapDump', blocks), end] });

    expect([await run(), errors]).toEqual([0, '']);

    expect(readFileSync(join(folder, 'threads.txt'), 'utf8')).toBe('"main" #1');
    const path = join(folder, 'heap.hprof.zst');
    expect(readFileSync(path).equals(Buffer.concat([...blocks, end]))).toBe(true);
    expect(statSync(path).mode & 0o777).toBe(0o600);
    expect(said).toContain('heap.hprof.zst: whole, 2 encrypted frames');
  });

  it('fails where a dump that was stored whole no longer is', async () => {
    await store({ dump: [sealed('heapDump', blocks)[0]!, end] });

    expect(await run()).toBe(1);
    expect(errors).toContain('NOT WHOLE');
  });

  it('keeps what there is of a salvaged dump, and says that it is not whole', async () => {
    await store({ dump: [sealed('heapDump', blocks)[0]!, end], state: 'salvaged' });

    expect([await run(), errors]).toEqual([0, '']);
    expect(said).toContain('not whole, as its index entry says');
  });

  it('leaves no file of an object that was changed, and goes on with the others', async () => {
    const [first, second, account] = sealed('heapDump', blocks);
    await store({ dump: [second!, first!, account!] });

    expect(await run()).toBe(1);
    expect(errors).toContain('frame 0 of stream 1 comes behind 1');
    expect(readdirSync(folder)).toEqual(['threads.txt']);
  });

  it('never writes over a file', async () => {
    await store({ dump: sealed('heapDump', blocks) });
    writeFileSync(join(folder, 'threads.txt'), 'mine');

    expect(await run()).toBe(2);
    expect(readFileSync(join(folder, 'threads.txt'), 'utf8')).toBe('mine');
  });

  it('is refused with a key of another claim', async () => {
    const { encryption } = entry.objects;
    const context = { ...encryption!.context, fencingToken: '9' };
    entry = {
      ...entry,
      objects: { ...entry.objects, encryption: { ...encryption!, context } },
    };
    await store({ dump: sealed('heapDump', blocks) });

    expect(await run()).toBe(2);
    expect(errors).toContain('refused kms:Decrypt');
  });

  it.each([
    [[], 'accepted is'],
    [['s3://dumps/dumps/heap.hprof.zst.enc', '--to', '.'], 'accepted is'],
    [['s3://dumps/index/none.json', '--to', '.'], 'there is no index entry index/none.json'],
    [['--key', 'x'], "Unknown option '--key'"],
  ])('says what it does not understand: %j', async (words, answer) => {
    expect(await decrypt(words, io)).toBe(2);
    expect(errors).toContain(answer);
  });

  it('says that a capture is not encrypted', async () => {
    const objects: Partial<IndexEntry['objects']> = { ...entry.objects };
    delete objects.encryption;
    await world.objects.putObject(key, json({ ...entry, objects }), { contentType: '' });

    expect(await run()).toBe(2);
    expect(errors).toContain(`capture ${entry.captureId} is not encrypted`);
  });
});
