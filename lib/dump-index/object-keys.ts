import { createHash } from 'node:crypto';
import type { CaptureRecord } from '../claim/capture-record.ts';
import { CaptureError } from '../errors.ts';
import { shown } from '../validation.ts';
import type { Artifact } from '../policy/policy.ts';
import type { Workload } from '../policy/pod-facts.ts';

// S3 keys are at most 1024 bytes, and "." and ".." segments are folded away by many clients:
// https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-keys.html
const maxSegmentLength = 200;
const maxEncodedLength = 100;
const maxKeyLength = 1_024;
/** Names that stand in a key as they are: no dot at an end, no two dots in a row. */
const plainName = /^[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*$/;
const plainKind = /^[A-Za-z0-9_]+$/;
const captureIdPattern = /^[a-z0-9]{16,40}$/;
/** 13 digits of milliseconds: 1970 to 2286. */
const lastMillisecond = 9_999_999_999_999;

/**
 * One path segment for a name of unknown origin. A plain name of up to 200 characters stays as it is; any other
 * has its UTF-8 bytes escaped as `!2E`, is cut at 100 characters, and ends in `!` and a hash of the whole name.
 * Two names never share a segment: `!` is in no plain name, and the hash is of the UTF-16 units, so that even
 * lone surrogates differ. The escape is not "%": S3 counts it among the characters to avoid, `%2E%2E` is a
 * parent folder to URL parsers, and without it a key reads the same whether a notification encoded it or not.
 */
function segment(name: string, plain: RegExp = plainName): string {
  if (name.length <= maxSegmentLength && plain.test(name)) return name;
  let encoded = '';
  for (const byte of new TextEncoder().encode(name.slice(0, maxEncodedLength))) {
    const character = String.fromCharCode(byte);
    const next = /[A-Za-z0-9_-]/.test(character)
      ? character
      : `!${byte.toString(16).toUpperCase().padStart(2, '0')}`;
    if (encoded.length + next.length > maxEncodedLength) break;
    encoded += next;
  }
  const hash = createHash('sha256').update(Buffer.from(name, 'utf16le')).digest('hex');
  return `${encoded}!${hash.slice(0, 32)}`;
}

/** A plain kind has no "-", so that the first "-" ends it; in any other the `!` and the hash do. */
function workloadSegment(workload: Workload): string {
  return `${segment(workload.kind, plainKind)}-${segment(workload.name)}`;
}

/** Fixed-width, and smaller the later the time is, so that a plain ascending list is newest first. */
function invertedTime(acquireTime: string): string {
  const milliseconds = Date.parse(acquireTime);
  if (!(milliseconds >= 0 && milliseconds <= lastMillisecond)) {
    throw new CaptureError(
      'InvalidIndexEntry',
      `acquireTime ${shown(acquireTime)} cannot be part of a key: accepted is an RFC 3339 time of 1970 to 2286`,
    );
  }
  return String(lastMillisecond - milliseconds).padStart(13, '0');
}

function checkedCaptureId(captureId: string): string {
  if (captureIdPattern.test(captureId)) return captureId;
  throw new CaptureError(
    'InvalidIndexEntry',
    `captureId ${shown(captureId)} cannot be part of a key: accepted are 16 to 40 of a-z and 0-9`,
  );
}

/**
 * Prefix of every object of one capture, with a trailing slash:
 * `dumps/<cluster>/<namespace>/<kind>-<name>/<inverted time>-<captureId>/`. At most 900 bytes, whatever the names are;
 * captures of one workload are listed newest first.
 * @throws CaptureError InvalidIndexEntry: a time outside 1970 to 2286, or a captureId of another form.
 */
export function capturePrefix(capture: {
  clusterName: string;
  namespace: string;
  workload: Workload;
  acquireTime: string;
  captureId: string;
}): string {
  return [
    'dumps',
    segment(capture.clusterName),
    segment(capture.namespace),
    workloadSegment(capture.workload),
    `${invertedTime(capture.acquireTime)}-${checkedCaptureId(capture.captureId)}`,
    '',
  ].join('/');
}

const evidenceNames = {
  processFacts: 'process-facts.txt',
  heapInfo: 'heap-info.txt',
  threads: 'threads.txt',
  nativeMemory: 'native-memory.txt',
  classHistogram: 'class-histogram.txt',
  crashLog: 'crash-log.txt',
  gcLog: 'gc-log.txt',
  previousLog: 'previous-log.txt',
} as const satisfies Record<Exclude<Artifact, 'heapDump'>, string>;

/** The file name of a piece of evidence, as its key ends. */
export function evidenceName(artifact: Exclude<Artifact, 'heapDump'>): string {
  return evidenceNames[artifact];
}

export interface ObjectKeys {
  manifest: string;
  progress: string;
  /** hprof in independent zstd frames; `.enc` where each is encrypted. */
  heapDump: string;
  evidence(artifact: Exclude<Artifact, 'heapDump'>): string;
}

/**
 * The keys under a prefix made by `capturePrefix`. Manifest and progress hold nothing of the heap and are never encrypted.
 * @param options.encrypted the objects have names that no reader takes for plain ones.
 */
export function objectKeys(prefix: string, options: { encrypted?: boolean } = {}): ObjectKeys {
  const end = options.encrypted === true ? '.enc' : '';
  return {
    manifest: `${prefix}manifest.json`,
    progress: `${prefix}progress.json`,
    heapDump: `${prefix}heap.hprof.zst${end}`,
    evidence: (artifact) => `${prefix}${evidenceNames[artifact]}${end}`,
  };
}

/** The keys of a capture that was claimed; of a claim by an older function too, which encrypted nothing. */
export function objectKeysOf({ objectPrefix, policy }: CaptureRecord): ObjectKeys {
  return objectKeys(objectPrefix, { encrypted: policy.encrypt });
}

/** Where the agent's order lies. The token makes a later claim of the same capture a different object. */
export function ticketKey(captureId: string, fencingToken: number): string {
  return `tickets/${checkedCaptureId(captureId)}-${fencingToken}.json`;
}

/** The index entry's key: `index/` lists all captures of all clusters newest first. */
export function indexKey(capture: { acquireTime: string; captureId: string }): string {
  return `${indexPrefix}${invertedTime(capture.acquireTime)}-${checkedCaptureId(capture.captureId)}.json`;
}

export const indexPrefix = 'index/';

const indexKeyPattern = /^index\/([0-9]{13})-([a-z0-9]{16,40})\.json$/;

/** What the key of an index entry says; `undefined` when it is not one. */
export function parseIndexKey(
  objectKey: string,
): { captureId: string; acquireTime: Date } | undefined {
  const [, inverted, captureId] = indexKeyPattern.exec(objectKey) ?? [];
  if (inverted === undefined || captureId === undefined) return undefined;
  return { captureId, acquireTime: new Date(lastMillisecond - Number(inverted)) };
}

/** Comes just before the keys of all captures that were acquired at this time or earlier: where a list of these starts after. */
export function indexKeyBefore(acquireTime: Date): string {
  return `${indexPrefix}${invertedTime(acquireTime.toISOString())}`;
}

const manifestKeyPattern =
  /^(dumps\/(?:(?!\.)[A-Za-z0-9_.!-]+\/){3}[0-9]{13}-([a-z0-9]{16,40})\/)manifest\.json$/;

/**
 * Reads the key of an S3 notification. Records[].s3.object.key is URL-encoded with "+" for a space, EventBridge's
 * detail.object.key is not; ours hold neither "%" nor "+", so that both may be passed as they come:
 * https://docs.aws.amazon.com/AmazonS3/latest/userguide/notification-content-structure.html
 * `undefined` when it is not the key of a manifest of ours.
 */
export function parseManifestKey(key: string): { captureId: string; prefix: string } | undefined {
  if (key.length > 3 * maxKeyLength) return undefined;
  let decoded: string;
  try {
    decoded = decodeURIComponent(key.replaceAll('+', ' '));
  } catch {
    return undefined;
  }
  const [, prefix, captureId] = manifestKeyPattern.exec(decoded) ?? [];
  return prefix === undefined || captureId === undefined ? undefined : { captureId, prefix };
}
