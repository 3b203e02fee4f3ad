import { randomUUID } from 'node:crypto';
import { ApiError, notFound } from './api-error.ts';
import {
  apiKinds,
  apiTime,
  type ApiObject,
  type ResourceName,
  type Resources,
} from './api-objects.ts';
import { WatchHistory } from './watch-history.ts';

const firstVersion = 1_000;

/** An object before the API has given it its identity. */
export type NewObject<T> = Omit<T, 'metadata' | 'apiVersion' | 'kind'> & {
  metadata: { name: string; namespace: string } & Record<string, unknown>;
};

/**
 * The objects of the cluster, as etcd has them: one counter of versions for all, every change recorded.
 * What it hands out is shared and never changed: an update replaces the object.
 */
export class ObjectTable {
  readonly history: WatchHistory;
  readonly #objects: { [R in ResourceName]: Map<string, Resources[R]> } = {
    pods: new Map(),
    events: new Map(),
    deployments: new Map(),
    replicasets: new Map(),
  };
  #version = firstVersion;

  constructor(historyLimit: number) {
    this.history = new WatchHistory(historyLimit, firstVersion);
  }

  get version(): number {
    return this.#version;
  }

  get<R extends ResourceName>(
    resource: R,
    namespace: string,
    name: string,
  ): Resources[R] | undefined {
    return this.#objects[resource].get(`${namespace}/${name}`);
  }

  /** In order of namespace and name; a namespace of '' is all. */
  list<R extends ResourceName>(resource: R, namespace = ''): Resources[R][] {
    const keys = [...this.#objects[resource].keys()].sort();
    return keys
      .filter((key) => namespace === '' || key.startsWith(`${namespace}/`))
      .flatMap((key) => this.#objects[resource].get(key) ?? []);
  }

  /** @throws ApiError 409 AlreadyExists */
  create<R extends ResourceName>(resource: R, object: NewObject<Resources[R]>): Resources[R] {
    const { name, namespace } = object.metadata;
    if (this.get(resource, namespace, name)) {
      throw new ApiError(409, 'AlreadyExists', `${resource} "${name}" already exists`);
    }
    const created = {
      ...apiKinds[resource],
      ...object,
      metadata: { ...object.metadata, uid: randomUUID(), creationTimestamp: apiTime() },
    } as unknown as Resources[R];
    return this.#store(resource, 'ADDED', created, undefined);
  }

  /**
   * Lets `change` work on a copy and stores it. Without a difference nothing is recorded.
   * `undefined` when there is no such object, or another one of its name.
   */
  update<R extends ResourceName>(
    resource: R,
    target: { namespace: string; name: string; uid?: string },
    change: (draft: Resources[R]) => void,
  ): Resources[R] | undefined {
    const previous = this.get(resource, target.namespace, target.name);
    if (!previous || (target.uid !== undefined && previous.metadata.uid !== target.uid)) {
      return undefined;
    }
    const draft = structuredClone(previous);
    change(draft);
    if (JSON.stringify(draft) === JSON.stringify(previous)) return previous;
    return this.#store(resource, 'MODIFIED', draft, previous);
  }

  /** @throws ApiError 404 */
  require<R extends ResourceName>(resource: R, namespace: string, name: string): Resources[R] {
    const object = this.get(resource, namespace, name);
    if (!object) throw notFound(resource, name);
    return object;
  }

  remove(resource: ResourceName, namespace: string, name: string): void {
    const previous = this.get(resource, namespace, name);
    if (!previous) return;
    this.#objects[resource].delete(`${namespace}/${name}`);
    this.#record(resource, 'DELETED', this.#versioned(previous), previous);
  }

  #store<R extends ResourceName>(
    resource: R,
    type: 'ADDED' | 'MODIFIED',
    object: Resources[R],
    previous: Resources[R] | undefined,
  ): Resources[R] {
    const stored = this.#versioned(object);
    const { namespace, name } = stored.metadata;
    this.#objects[resource].set(`${namespace}/${name}`, stored);
    this.#record(resource, type, stored, previous);
    return stored;
  }

  #versioned<T extends ApiObject>(object: T): T {
    this.#version += 1;
    return { ...object, metadata: { ...object.metadata, resourceVersion: String(this.#version) } };
  }

  #record(
    resource: ResourceName,
    type: 'ADDED' | 'MODIFIED' | 'DELETED',
    object: ApiObject,
    previous: ApiObject | undefined,
  ): void {
    this.history.record({ version: this.#version, resource, type, object, previous });
  }
}
