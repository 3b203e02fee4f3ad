import { KubeConfig } from '@kubernetes/client-node';
import { CaptureError } from '../errors.ts';

/** What a context of the caller's own kubeconfig says of where a pod is. */
export interface ContextPlace {
  readonly clusterName: string;
  /** The context's own; `default` where it has none, as kubectl has it. */
  readonly namespace: string;
}

/**
 * The context that kubectl would use (KUBECONFIG, else ~/.kube/config), or the one that is named. Nothing is connected to.
 * The cluster's name is the kubeconfig's; of EKS, whose tools write an ARN or `<name>.<region>.eksctl.io`, the name in it.
 * @throws CaptureError InvalidConfiguration naming the contexts that there are. Nothing of a file is quoted.
 */
export function readContextPlace(contextName?: string): ContextPlace {
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
      `no context ${JSON.stringify(name)}; there are: ${names.slice(0, 50).join(', ')}`,
    );
  }
  return {
    clusterName: registeredName(context.cluster),
    namespace: context.namespace || 'default',
  };
}

/** Under which name a cluster of the kubeconfig is most likely registered. */
export function registeredName(clusterName: string): string {
  const [, ofArn] = /^arn:[^:]+:eks:[^:]+:\d+:cluster\/(.+)$/.exec(clusterName) ?? [];
  const [, ofEksctl] = /^([^.]+)\.[a-z0-9-]+\.eksctl\.io$/.exec(clusterName) ?? [];
  return ofArn ?? ofEksctl ?? clusterName;
}

function invalid(message: string): CaptureError {
  return new CaptureError('InvalidConfiguration', message);
}
