import { bodyOf, type ApiCall } from './api-call.ts';
import { ClusterConnection } from './connection.ts';

/** What a Lease says, as far as an election needs it. */
export interface LeaseRecord {
  /** '' is nobody: it was given back. */
  readonly holderIdentity: string;
  readonly leaseDurationSeconds: number;
  /** RFC 3339. */
  readonly acquireTime: string;
  /** RFC 3339; by the holder's clock, for people. */
  readonly renewTime: string;
  readonly leaseTransitions: number;
  /** RFC 3339: all that its holder observed until then has been taken by the bus. */
  readonly sentThroughTime?: string;
}

/** The same as it stands in the API; the version changes with every write. */
export type StoredLease = LeaseRecord & { readonly resourceVersion: string };

export interface LeaseApi {
  /** `undefined`: there is none. */
  read(): Promise<StoredLease | undefined>;
  /**
   * Writes over that version, or creates the Lease where there was none.
   * `undefined`: somebody else wrote in between.
   */
  write(record: LeaseRecord, resourceVersion: string | undefined): Promise<StoredLease | undefined>;
}

const apiVersion = 'coordination.k8s.io/v1';
const sentThroughAnnotation = 'heapcatch.dev/sent-through';
/** Far below the deadline of a renewal: a call that hangs must leave time for another. */
const timeouts = { connectMilliseconds: 1_000, requestMilliseconds: 1_000 };

/**
 * One Lease (coordination.k8s.io/v1), written under the version that was read.
 * @throws CaptureError InvalidConfiguration; its functions ClusterUnavailable (retryable), ClusterForbidden, ClusterRefused.
 */
export function createLeaseApi(options: {
  kubeconfig: string;
  namespace: string;
  name: string;
}): LeaseApi {
  const connection = new ClusterConnection(options.kubeconfig, timeouts);
  const { namespace, name } = options;
  const about = { apiVersion, resource: 'leases', namespace };
  const send = async (call: ApiCall): Promise<StoredLease | undefined> => {
    const answer = await connection.request(call);
    // Of a patch 404 means that the Lease was deleted since; of a create 409 that somebody else was first.
    if (answer.status === 404 || answer.status === 409) return undefined;
    return leaseOf(bodyOf(call, answer));
  };
  return {
    read: () => send({ ...about, verb: 'get', name }),
    write: (record, resourceVersion) => {
      const { sentThroughTime = null, ...spec } = record;
      const annotations = { [sentThroughAnnotation]: sentThroughTime };
      const times = { acquireTime: micro(spec.acquireTime), renewTime: micro(spec.renewTime) };
      // The API takes no empty holder; null takes the last one away.
      const holderIdentity = spec.holderIdentity || null;
      const object = { spec: { ...spec, ...times, holderIdentity } };
      if (resourceVersion === undefined) {
        const given = sentThroughTime === null ? {} : { annotations };
        const metadata = { name, namespace, ...given };
        return send({
          ...about,
          verb: 'create',
          body: { apiVersion, kind: 'Lease', ...object, metadata },
        });
      }
      return send({
        ...{ ...about, name, verb: 'patch', contentType: 'application/merge-patch+json' },
        // The version makes it a conflict when somebody else has written since.
        body: { ...object, metadata: { resourceVersion, annotations } },
      });
    },
  };
}

interface RawLease {
  metadata: { resourceVersion: string; annotations?: Record<string, string> };
  spec?: Partial<Record<keyof LeaseRecord, unknown>>;
}

/** A Lease that somebody made without a spec is one that nobody holds. */
function leaseOf(body: unknown): StoredLease {
  const { metadata, spec = {} } = body as RawLease;
  const sentThroughTime = metadata.annotations?.[sentThroughAnnotation];
  const text = (value: unknown): string => (typeof value === 'string' ? value : '');
  const number = (value: unknown): number => (typeof value === 'number' ? value : 0);
  return {
    resourceVersion: metadata.resourceVersion,
    holderIdentity: text(spec.holderIdentity),
    leaseDurationSeconds: number(spec.leaseDurationSeconds),
    acquireTime: text(spec.acquireTime),
    renewTime: text(spec.renewTime),
    leaseTransitions: number(spec.leaseTransitions),
    ...(sentThroughTime === undefined ? {} : { sentThroughTime }),
  };
}

/** The API's MicroTime has six digits, and refuses three. */
function micro(time: string): string {
  return new Date(time).toISOString().replace('Z', '000Z');
}
