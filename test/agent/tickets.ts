import { minPartBytes, ticketSchema, type Ticket } from '../../lib/capture/ticket.ts';
import type { FakeBucket } from './fake-bucket.ts';

export const captureId = 'abcdefghijklmnop';
export const podUid = '0c6f2a7e-5f0b-4c7e-9a0d-1b2c3d4e5f60';
export const containerID = 'containerd://4f5e6d7c8b9a';

/** A valid ticket for the local machine; what differs is given. */
export function ticketFor(
  bucket: FakeBucket,
  options: {
    directories: string[];
    deadlineSeconds?: number;
    partCount?: number;
    partBytes?: number;
    blockBytes?: number;
    expectedBytes?: number;
    change?: Partial<Ticket>;
  },
): Ticket {
  const now = Date.now();
  const after = (seconds: number): string => new Date(now + seconds * 1_000).toISOString();
  return ticketSchema.parse({
    schemaVersion: 1,
    captureId,
    fencingToken: 1,
    rung: 'nodeAgent',
    target: {
      clusterName: 'test',
      namespace: 'shop',
      podName: 'cart-1',
      podUid,
      containerName: 'app',
      containerID,
    },
    issuedTime: after(0),
    startDeadlineTime: after(60),
    captureDeadlineTime: after(options.deadlineSeconds ?? 120),
    evidence: (['heapInfo', 'threads', 'classHistogram'] as const).map((artifact) => ({
      artifact,
      putUrl: bucket.url(`/${artifact}.txt`),
    })),
    heapDump: {
      codec: 'zstd',
      blockBytes: options.blockBytes ?? 1024 * 1024,
      partBytes: options.partBytes ?? minPartBytes,
      partUrls: Array.from({ length: options.partCount ?? 100 }, (_, n) =>
        bucket.url(`/dump/${n + 1}`),
      ),
      directories: options.directories,
      expectedBytes: options.expectedBytes ?? 64 * 1024 * 1024,
    },
    progressUrl: bucket.url('/progress.json'),
    manifestUrl: bucket.url('/manifest.json'),
    ...options.change,
  });
}
