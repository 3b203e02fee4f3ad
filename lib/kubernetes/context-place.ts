import { loadContext } from './kube-context.ts';

/** What a context of the caller's own kubeconfig says of where a pod is. */
export interface ContextPlace {
  readonly clusterName: string;
  /** The context's own; `default` where it has none, as kubectl has it. */
  readonly namespace: string;
}

/**
 * Where the pods of a context are, chosen as by loadContext.
 * The cluster's name is the kubeconfig's; of EKS, whose tools write an ARN or `<name>.<region>.eksctl.io`, the name in it.
 * @throws CaptureError InvalidConfiguration as loadContext.
 */
export function readContextPlace(contextName?: string): ContextPlace {
  const { context } = loadContext(contextName);
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
