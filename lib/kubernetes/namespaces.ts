import type { Logger } from '../log.ts';
import type { NamespaceSource } from '../signal/watch-source.ts';
import { ClusterConnection } from './connection.ts';
import { defaultWatchSeconds, listAll, watchResource } from './watch-source.ts';

/**
 * The names of the namespaces that a label selector selects. One that loses its label comes as DELETED, as the API has it.
 * @throws CaptureError InvalidConfiguration when the kubeconfig is not valid.
 */
export function createNamespaceSource(options: {
  kubeconfig: string;
  /** As the API takes it, e.g. `heapcatch.dev/watch=true`. */
  labelSelector: string;
  watchSeconds?: number;
  logger?: Logger;
}): NamespaceSource {
  const connection = new ClusterConnection(options.kubeconfig);
  const { labelSelector, logger, watchSeconds = defaultWatchSeconds } = options;
  const [resource, namespace, selection] = ['namespaces', '', { labelSelector }] as const;
  return {
    listNamespaces: () => listAll(connection, resource, namespace, nameOf, logger, selection),
    watchNamespaces: (resourceVersion, onChange, signal) =>
      watchResource(
        connection,
        { resource, namespace, selection, resourceVersion, watchSeconds },
        nameOf,
        { onChange, signal, logger },
      ),
  };
}

function nameOf(object: unknown): string | undefined {
  const { metadata } = (object ?? {}) as { metadata?: { name?: unknown } };
  return typeof metadata?.name === 'string' ? metadata.name : undefined;
}
