import { readFileSync } from 'node:fs';
import { KubeConfig } from '@kubernetes/client-node';
import { CaptureError } from '../errors.ts';

/** A context of the caller's own kubeconfig. */
export interface KubeContext {
  readonly contextName: string;
  readonly server: string;
  /** PEM; absent where the kubeconfig leaves it to the system's. */
  readonly certificateAuthority: string | undefined;
  readonly tlsServerName: string | undefined;
  /** Whether the kubeconfig says not to verify the server. */
  readonly skipsVerification: boolean;
  /** A kubeconfig of this context alone, as text: for calls in the caller's own name. */
  readonly kubeconfig: string;
}

/**
 * The context that kubectl would use: `KUBECONFIG` (one file or several), else `~/.kube/config`, else that of the pod; or the one
 * that is named. Nothing is connected to.
 * @throws CaptureError InvalidConfiguration naming the contexts that there are. Nothing of a file is quoted.
 */
export function loadContext(contextName?: string) {
  const config = new KubeConfig();
  try {
    config.loadFromDefault();
  } catch {
    throw invalid('the kubeconfig cannot be read');
  }
  const name = contextName ?? config.getCurrentContext();
  const context = config.getContextObject(name);
  if (context === null) {
    const names = config.getContexts().map((one) => one.name);
    throw invalid(
      `no context ${JSON.stringify(name)} in the kubeconfig; it has: ${names.slice(0, 50).join(', ')}`,
    );
  }
  config.setCurrentContext(name);
  return { config, name, context };
}

/**
 * What is known of the API server of a context, and the way in.
 * @throws CaptureError InvalidConfiguration as loadContext, and when the context's cluster is not there.
 */
export function readKubeContext(contextName?: string): KubeContext {
  const { config, name, context } = loadContext(contextName);
  const cluster = config.getCluster(context.cluster);
  if (cluster === null)
    throw invalid(`context ${name} names a cluster that the kubeconfig has not`);
  return {
    contextName: name,
    server: cluster.server,
    certificateAuthority: authorityOf(cluster),
    tlsServerName: cluster.tlsServerName,
    skipsVerification: cluster.skipTLSVerify,
    kubeconfig: config.exportConfig(),
  };
}

function authorityOf(cluster: { caData?: string; caFile?: string }): string | undefined {
  if (cluster.caData !== undefined) return Buffer.from(cluster.caData, 'base64').toString('utf8');
  if (cluster.caFile === undefined) return undefined;
  try {
    return readFileSync(cluster.caFile, 'utf8');
  } catch {
    throw invalid(`the certificate authority ${cluster.caFile} cannot be read`);
  }
}

function invalid(message: string): CaptureError {
  return new CaptureError('InvalidConfiguration', message);
}
