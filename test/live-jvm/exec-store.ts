import { createHash } from 'node:crypto';
import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { buildExecAgent, findBuildJdk } from '../../infra/exec-agent/build.ts';
import { agentVersion } from '../../lib/agent/version.ts';
import { createS3ObjectStore } from '../../lib/aws/s3-object-store.ts';
import { manifestSchema, type Manifest } from '../../lib/capture/manifest.ts';
import type { ObjectStore } from '../../lib/capture/ports.ts';
import { settleDump } from '../../lib/capture/settle-dump.ts';
import type { CaptureRecord } from '../../lib/claim/capture-record.ts';
import { objectKeys } from '../../lib/dump-index/object-keys.ts';
import {
  startLocalObjectStore,
  type LocalObjectStore,
} from '../../lib/local/object-store/object-store.ts';
import { jvmArtifacts } from '../../lib/policy/policy.ts';
import { defaultPolicy } from '../../lib/policy/resolve.ts';
import type { FakeBucket } from '../agent/fake-bucket.ts';
import { captureId } from '../agent/tickets.ts';
import { builtOnce } from './classes.ts';

export const objectPrefix = `dumps/test/shop/Deployment.cart/2026-01-01/000000Z-${captureId}/`;
export const keys = objectKeys(objectPrefix);
/** What the exec agent's tickets are made for; their URLs are all replaced. */
export const elsewhere = {
  url: (path: string) => `http://127.0.0.1${path}`,
} as unknown as FakeBucket;
export const orderedEvidence = jvmArtifacts.filter((artifact) => artifact !== 'heapDump');

/** The exec agent's jar, built once for each state of its sources and of what builds it. @returns its path. */
export function builtJar(): string {
  const jdk = findBuildJdk()!;
  const project = join(import.meta.dirname, '../..');
  const hash = createHash('sha256').update(`${jdk.home} ${jdk.version} ${agentVersion}`);
  for (const file of globSync('infra/exec-agent/**/*.{java,ts}', { cwd: project }).sort()) {
    hash.update(`\0${file}\0`).update(readFileSync(join(project, file)));
  }
  const name = `exec-agent-${hash.digest('hex').slice(0, 16)}`;
  return join(
    builtOnce(name, (folder) => buildExecAgent(jdk, join(folder, 'agent.jar'))),
    'agent.jar',
  );
}

/** The local object store with the upload of one capture. */
export class ExecStore {
  readonly store: LocalObjectStore;
  readonly objects: ObjectStore;
  readonly uploadId: string;

  private constructor(store: LocalObjectStore, objects: ObjectStore, uploadId: string) {
    this.store = store;
    this.objects = objects;
    this.uploadId = uploadId;
  }

  static async open(): Promise<ExecStore> {
    const store = await startLocalObjectStore();
    const objects = createS3ObjectStore(store);
    const uploadId = await objects.createMultipartUpload(keys.heapDump, 'application/zstd');
    return new ExecStore(store, objects, uploadId);
  }

  async manifest(): Promise<Manifest> {
    const bytes = await this.objects.getObject(keys.manifest, { maxBytes: 10_000_000 });
    return manifestSchema.parse(JSON.parse(Buffer.from(bytes ?? []).toString()));
  }

  async dump(): Promise<Buffer> {
    return Buffer.from((await this.objects.getObject(keys.heapDump, { maxBytes: 2 ** 30 }))!);
  }

  /** What seal and sweep do with the upload. */
  settle(accounts: Parameters<typeof settleDump>[2]): ReturnType<typeof settleDump> {
    const { uploadId } = this;
    const record = { objectPrefix, policy: defaultPolicy, started: { uploadId } };
    return settleDump(this.objects, record as unknown as CaptureRecord, accounts);
  }

  close(): Promise<void> {
    return this.store.close();
  }
}
