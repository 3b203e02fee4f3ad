import type { Encryption } from '../dump-index/encryption.ts';
import type { PodFacts } from '../policy/pod-facts.ts';

export type Clock = () => Date;

export interface StoredPart {
  partNumber: number;
  bytes: number;
  eTag: string;
}

/**
 * Port to the bucket. Keys come from lib/dump-index only.
 * @throws CaptureError ObjectStoreUnavailable (retryable) for every fault that is not a normal answer.
 */
export interface ObjectStore {
  putObject(
    objectKey: string,
    body: Uint8Array,
    options: { contentType: string; ifNoneMatch?: boolean },
  ): Promise<'written' | 'exists'>;
  /** `undefined` when there is no such object. Refuses (ObjectStoreUnavailable) bodies over maxBytes. */
  getObject(
    objectKey: string,
    options: { maxBytes: number; range?: { start: number; end: number } },
  ): Promise<Uint8Array | undefined>;
  headObject(objectKey: string): Promise<{ bytes: number; eTag: string } | undefined>;
  deleteObject(objectKey: string): Promise<void>;
  /** Replaces the tags of an object by this one; of one that is not there, nothing. */
  tagObject(objectKey: string, tag: { key: string; value: string }): Promise<void>;
  /** Keys under a prefix in ascending order, at most limit (1..1000), after startAfter. */
  listObjects(
    prefix: string,
    options: { limit: number; startAfter?: string },
  ): Promise<readonly { objectKey: string; bytes: number }[]>;
  createMultipartUpload(objectKey: string, contentType: string): Promise<string>;
  uploadPart(
    objectKey: string,
    uploadId: string,
    partNumber: number,
    body: Uint8Array,
  ): Promise<StoredPart>;
  /** All parts (paged inside, at most 10,000), or `undefined` when the upload no longer exists. */
  listParts(objectKey: string, uploadId: string): Promise<readonly StoredPart[] | undefined>;
  completeMultipartUpload(
    objectKey: string,
    uploadId: string,
    parts: readonly StoredPart[],
  ): Promise<'completed' | 'noSuchUpload'>;
  abortMultipartUpload(objectKey: string, uploadId: string): Promise<void>;
  presignGet(objectKey: string, expiresSeconds: number): Promise<string>;
  presignPut(objectKey: string, expiresSeconds: number): Promise<string>;
  /** URLs for parts 1..partCount, in order. */
  presignParts(
    objectKey: string,
    uploadId: string,
    partCount: number,
    expiresSeconds: number,
  ): Promise<readonly string[]>;
}

/** A key that encrypts the objects of one capture. */
export interface DataKey {
  /** 32 bytes, for the ticket alone; a secret. */
  plain: Uint8Array;
  encryption: Encryption;
}

/**
 * Port to the service that holds the key of keys.
 * @throws CaptureError EncryptionUnavailable, retryable unless it was refused; names the key, never what it encrypts.
 */
export interface DataKeys {
  /** A new one each time, bound to capture and claim. */
  generate(capture: { captureId: string; fencingToken: number }): Promise<DataKey>;
  /** The plain data key. */
  decrypt(encryption: Encryption): Promise<Uint8Array>;
}

/** An ephemeral container of ours, as it is asked for. */
export interface EphemeralAgent {
  containerName: string;
  /** Container whose process namespace it shares, and with which it ends; without one it has its own. */
  targetContainerName?: string;
  image: string;
  /** Instead of the image's own arguments. */
  args?: readonly string[];
  runAsUser: number;
  runAsGroup: number;
  env: Readonly<Record<string, string>>;
  volumeMounts: readonly { volumeName: string; mountPath: string }[];
}

export interface ExecResult {
  /** From the exec status stream; `undefined` when the connection ended without one. */
  exitCode: number | undefined;
  /** At most 64 KiB each; exec may lose the tail, so nothing important rests on it alone. */
  stdout: string;
  stderr: string;
}

export interface PodEvent {
  type: 'Normal' | 'Warning';
  /** CamelCase, at most 128 characters. */
  reason: string;
  /** At most 1024 bytes; never a URL with a query, never dump contents. */
  message: string;
  /** Makes a repeat the same Event: part of its name. */
  captureId: string;
  /** Of the capture's index entry, once there is one. */
  indexKey?: string;
}

/**
 * Port to one cluster's API.
 * @throws CaptureError ClusterUnavailable (retryable), ClusterForbidden (permanent; names verb and resource),
 *   ClusterRefused (permanent: the API finds the request invalid).
 */
export interface ClusterApi {
  /** `undefined` when there is no such pod. Walks owners to the top, at most 5, and stops at a cycle. */
  readPod(namespace: string, podName: string): Promise<PodFacts | undefined>;
  /**
   * Namespaces in which there is a pod of this name, at most 50.
   * @throws CaptureError ClusterForbidden without the right to list pods everywhere.
   */
  findPods(podName: string): Promise<readonly string[]>;
  /** The running, ready heapcatch agent pod of that node, if the DaemonSet is installed there. */
  findNodeAgent(
    nodeName: string,
  ): Promise<{ namespace: string; podName: string; containerName: string } | undefined>;
  /**
   * Runs a command. Throws only while it is not known to have begun: AgentStartFailed when there is no such pod,
   * container or command. A connection lost later is a result without an exit code.
   * With `onStdout` the output goes there and not into the result, piece by piece, as fast as the promises resolve; when
   * one rejects, the connection is closed and its error thrown.
   */
  exec(
    target: { namespace: string; podName: string; containerName: string },
    command: readonly string[],
    options: {
      stdin?: string | Uint8Array;
      deadlineSeconds: number;
      onStdout?: (piece: Uint8Array) => Promise<void>;
    },
  ): Promise<ExecResult>;
  /** Adds all of them at once, unless one of the names exists (`exists`); `gone` when the pod's uid differs or it is
   *  gone. @throws CaptureError AgentStartFailed when the pod is there and does not take them. */
  addEphemeralAgents(
    pod: { namespace: string; podName: string; podUid: string },
    agents: readonly EphemeralAgent[],
  ): Promise<'added' | 'exists' | 'gone'>;
  /**
   * The last bytes of what a container has printed: `previous`, its last life's. `undefined` when there are none. Absent in
   * a port without it. @throws CaptureError ClusterForbidden without the right to `pods/log`, which is installed apart.
   */
  readLogTail?(
    container: { namespace: string; podName: string; containerName: string },
    options: { previous: boolean; maxBytes: number },
  ): Promise<Uint8Array | undefined>;
  /** Posts one Event on the pod; the same captureId and reason again is one Event. Best effort by nature. */
  postPodEvent(
    pod: { namespace: string; podName: string; podUid: string },
    event: PodEvent,
  ): Promise<void>;
}
