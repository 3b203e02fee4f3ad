import type { Signal } from './signal.ts';

/** What a person asks for by a pod's name, where cluster or namespace or both are still to be found. */
export interface SoughtPod {
  readonly podName: string;
  readonly namespace?: string | undefined;
  readonly clusterName?: string | undefined;
  readonly containerName?: string | undefined;
  readonly dryRun?: boolean | undefined;
  readonly observedTime: string;
}

/** The signal of the person who sought the pod, once it is found. */
export function signalOfSought(
  sought: SoughtPod,
  { clusterName, namespace }: { clusterName: string; namespace: string },
): Signal {
  const { podName, containerName, dryRun, observedTime } = sought;
  return {
    schemaVersion: 1,
    clusterName,
    namespace,
    podName,
    ...(containerName === undefined ? {} : { containerName }),
    reason: 'Manual',
    observedTime,
    numbers: {},
    ...(dryRun === undefined ? {} : { dryRun }),
  };
}
