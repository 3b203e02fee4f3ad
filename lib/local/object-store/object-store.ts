import { randomBytes } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { CaptureError } from '../../errors.ts';
import { checkSignature, type AcceptedCredentials } from './check-signature.ts';
import { FaultPlan, plannedAnswer } from './fault-plan.ts';
import { CreatedObjects, type CreatedListener } from './created-objects.ts';
import { routeRequest } from './route-request.ts';
import { targetOf, type S3Reply, type Target } from './s3-exchange.ts';
import { S3Fault } from './s3-fault.ts';
import { sendReply, sendTruncated } from './send-reply.ts';
import { StoredObjects } from './stored-objects.ts';
import { Uploads } from './uploads.ts';
import type { UploadBucket } from './upload-requests.ts';
import { errorXml } from './xml.ts';

export interface LocalObjectStore {
  endpoint: string;
  bucketName: string;
  region: string;
  credentials: { accessKeyId: string; secretAccessKey: string };
  /** Further ones that may do the same, until `endCredentials`, as a role has others in each run of a function. */
  issueCredentials(): { accessKeyId: string; secretAccessKey: string };
  /** What they have signed and will sign is refused as ExpiredToken. */
  endCredentials(accessKeyId: string): void;
  /** What goes wrong next. */
  faults: FaultPlan;
  /**
   * Is told of each object that was put or completed, after its reply, as an S3 notification is.
   * @returns what ends it.
   */
  onObjectCreated(listener: CreatedListener): () => void;
  /** Waits for the listeners, and for those that they cause; throws what the first of them threw. */
  settled(): Promise<void>;
  /** Ends all connections and removes all objects. */
  close(): Promise<void>;
}

export interface LocalObjectStoreOptions {
  bucketName?: string;
  region?: string;
  credentials?: { accessKeyId: string; secretAccessKey: string };
  /** 127.0.0.1 and a free port unless given. */
  address?: string;
  port?: number;
  /** Where its own temporary folder is made; the system's folder for such unless given. */
  folder?: string;
  now?: () => Date;
}

/**
 * Starts an S3 of one bucket in this process, over HTTP, with its objects on disk: PutObject, GetObject, HeadObject,
 * DeleteObject, PutObjectTagging, ListObjectsV2 and multipart uploads, addressed by path, signatures checked. What it does not know it
 * refuses with NotImplemented: additional checksums, copies, versions, delimiters, bodies signed in chunks.
 * @throws CaptureError InvalidConfiguration when the port is taken.
 */
export async function startLocalObjectStore(
  options: LocalObjectStoreOptions = {},
): Promise<LocalObjectStore> {
  const {
    bucketName = 'heapcatch-dumps',
    region = 'us-east-1',
    credentials = { accessKeyId: 'local', secretAccessKey: randomBytes(20).toString('hex') },
    address = '127.0.0.1',
    now = (): Date => new Date(),
  } = options;
  const folder = await mkdtemp(path.join(options.folder ?? tmpdir(), 'heapcatch-objects-'));
  const created = new CreatedObjects();
  const objects = new StoredObjects((object) => created.announce(object));
  const bucket = { bucketName, folder, objects, uploads: new Uploads(objects), now };
  const faults = new FaultPlan();
  const accepted: AcceptedCredentials[] = [{ ...credentials }];
  const server = createServer((incoming, response) => {
    const verifier = { accepted, region, now: now() };
    const authorize = (target: Target): string | undefined =>
      checkSignature(target.signed, verifier);
    void exchange({ bucket, faults, authorize }, incoming, response);
  });
  // Longer than any client keeps an idle connection, so that none meets one that is just being closed.
  server.keepAliveTimeout = 120_000;
  server.requestTimeout = 0;
  try {
    await listen(server, options.port ?? 0, address);
  } catch (cause) {
    await rm(folder, { recursive: true, force: true });
    const where = `${address}:${options.port ?? 0}`;
    throw new CaptureError('InvalidConfiguration', `cannot listen on ${where}`, { cause });
  }
  const { port } = server.address() as AddressInfo;
  return {
    endpoint: `http://${address}:${port}`,
    bucketName,
    region,
    credentials,
    issueCredentials() {
      const secretAccessKey = randomBytes(20).toString('hex');
      const issued = { accessKeyId: `local${accepted.length}`, secretAccessKey };
      accepted.push({ ...issued });
      return issued;
    },
    endCredentials(accessKeyId) {
      for (const one of accepted) if (one.accessKeyId === accessKeyId) one.ended = true;
    },
    faults,
    onObjectCreated: (listener) => created.add(listener),
    settled: () => created.settled(),
    async close() {
      const closed = new Promise((resolve) => server.close(resolve));
      server.closeAllConnections();
      await closed;
      await rm(folder, { recursive: true, force: true });
    },
  };
}

function listen(server: Server, port: number, address: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, address, () => {
      server.off('error', reject);
      resolve();
    });
  });
}

interface Store {
  bucket: UploadBucket;
  faults: FaultPlan;
  authorize: (target: Target) => string | undefined;
}

async function exchange(
  store: Store,
  incoming: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  try {
    const target = targetOf(incoming);
    const partNumber = target.query.get('partNumber');
    const fault = store.faults.take(
      target.signed.method,
      target.objectKey === '' ? (target.query.get('prefix') ?? '') : target.objectKey,
      partNumber === undefined ? undefined : Number(partNumber),
    );
    if (fault === 'stall') return;
    if (fault === 'reset') {
      incoming.socket.resetAndDestroy();
      return;
    }
    const planned = fault === undefined ? undefined : plannedAnswer(fault);
    const reply =
      planned === undefined
        ? await replyTo(store, target, incoming)
        : faultReply(planned, incoming.url ?? '/');
    // What is left of a refused body is read and dropped, or the client would not get to read the reply.
    incoming.resume();
    if (fault === 'truncate-reply') await sendTruncated(response, reply);
    else await sendReply(response, reply);
  } catch {
    // The client is gone, or the disk is full: a reply that has begun can only be cut off.
    response.destroy();
  }
}

async function replyTo(store: Store, target: Target, incoming: IncomingMessage): Promise<S3Reply> {
  try {
    const signedSha256 = store.authorize(target);
    const { method } = target.signed;
    const { bucketName, objectKey, query } = target;
    return await routeRequest(store.bucket, {
      ...{ incoming, method, bucketName, objectKey, query },
      ...(signedSha256 === undefined ? {} : { signedSha256 }),
    });
  } catch (error) {
    if (error instanceof S3Fault) return faultReply(error, incoming.url ?? '/');
    throw error;
  }
}

function faultReply(fault: S3Fault, url: string): S3Reply {
  const [resource = '/'] = url.split('?', 1);
  return { status: fault.status, headers: fault.headers, body: errorXml(fault, resource) };
}
