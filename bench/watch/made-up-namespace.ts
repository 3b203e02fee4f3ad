import type { ApiCall } from '../../lib/kubernetes/api-call.ts';
import { bodyOf } from '../../lib/kubernetes/api-call.ts';
import { ClusterConnection } from '../../lib/kubernetes/connection.ts';
import { eventually } from '../../test/e2e/shell.ts';
import { Kubectl } from '../../test/e2e/cluster.ts';
import { madeUpPod, madeUpStatus } from './made-up-pod.ts';

/** Requests under way at once. */
const parallelism = 16;

/** A namespace of pods that no kubelet runs, whose status changes when told. */
export class MadeUpNamespace {
  readonly #connection: ClusterConnection;
  readonly #kubectl: Kubectl;
  readonly name: string;
  readonly #podNames: readonly string[];
  #lives = 0;

  constructor(kubeconfig: { file: string; text: string }, name: string, podCount: number) {
    this.#connection = new ClusterConnection(kubeconfig.text, {
      connectMilliseconds: 10_000,
      requestMilliseconds: 60_000,
    });
    this.#kubectl = new Kubectl(kubeconfig.file);
    this.name = name;
    this.#podNames = Array.from(
      { length: podCount },
      (_, index) => `cart-7f9c4d8b6d-${index.toString(36).padStart(5, '0')}`,
    );
  }

  async create(): Promise<void> {
    await this.#kubectl.run(['create', 'namespace', this.name]);
    await this.#kubectl.run(['create', 'configmap', 'owner', '-n', this.name]);
    const uid = await this.#kubectl.run([
      'get',
      'configmap',
      'owner',
      '-n',
      this.name,
      '-o',
      'jsonpath={.metadata.uid}',
    ]);
    await eventually('service account of the namespace', 60, () =>
      this.#kubectl.run(['get', 'serviceaccount', 'default', '-n', this.name]),
    );
    await each(this.#podNames, async (podName) => {
      await this.#ask({
        verb: 'create',
        resource: 'pods',
        namespace: this.name,
        query: { fieldManager: 'kube-controller-manager' },
        body: madeUpPod(podName, { name: 'owner', uid }),
      });
      await this.#setStatus(podName, 0);
    });
  }

  /** Gives that many pods a new status, one after the other round the namespace. */
  async change(count: number): Promise<void> {
    this.#lives += 1;
    const life = this.#lives;
    const rounds = Array.from({ length: count }, (_, index) => index);
    const podCount = this.#podNames.length;
    await each(rounds, (index) =>
      this.#setStatus(
        this.#podNames[index % podCount] ?? '',
        life + Math.floor(index / podCount) * 1_000,
      ),
    );
  }

  /** The cluster deletes the pods with it, in its own time: no kubelet has to agree. */
  async delete(): Promise<void> {
    await this.#kubectl.run(['delete', 'namespace', this.name, '--wait=false']);
  }

  #setStatus(name: string, life: number): Promise<void> {
    return this.#ask({
      verb: 'patch',
      resource: 'pods/status',
      namespace: this.name,
      name,
      query: { fieldManager: 'kubelet' },
      contentType: 'application/strategic-merge-patch+json',
      body: { status: madeUpStatus(name, life) },
    });
  }

  async #ask(call: ApiCall): Promise<void> {
    bodyOf(call, await this.#connection.request(call));
  }
}

async function each<T>(items: readonly T[], work: (item: T) => Promise<void>): Promise<void> {
  const left = items.values();
  const worker = async (): Promise<void> => {
    for (const item of left) await work(item);
  };
  await Promise.all(Array.from({ length: parallelism }, worker));
}
