import { setTimeout as sleep } from 'node:timers/promises';
import { CaptureError, messageOf } from '../errors.ts';
import type { Logger } from '../log.ts';
import type { ClusterApi } from './ports.ts';

/** Left for the claim and the start of an agent, which takes up to 20 s, and for the answer. */
const keptMillis = 27_000;
/** More than there is time for. */
const maxTries = 20;
const firstPauseMillis = 500;
const longestPauseMillis = 4_000;

interface Patience {
  /** Milliseconds until the start must have been made. */
  remainingMillis: () => number;
  logger: Logger;
  pause?: (milliseconds: number) => Promise<unknown>;
}

/**
 * The same cluster, whose reads of the pod before and behind the claim are tried again while its API cannot be reached and the start has
 * time: an API server that is replaced is away for seconds, and the next delivery of a signal comes after a minute.
 * Then the last fault is thrown, with how often and for how long it was tried: it is what the dead letter says. Nothing that changes the cluster is repeated.
 */
export function patientCluster(cluster: ClusterApi, patience: Patience): ClusterApi {
  const readPod: ClusterApi['readPod'] = (namespace, podName) =>
    persist(() => cluster.readPod(namespace, podName), patience, { namespace, podName });
  return new Proxy(cluster, {
    get(target, name) {
      if (name === 'readPod') return readPod;
      const value: unknown = Reflect.get(target, name);
      return typeof value === 'function' ? (value.bind(target) as unknown) : value;
    },
  });
}

async function persist<T>(
  read: () => Promise<T>,
  { remainingMillis, logger, pause = sleep }: Patience,
  about: Record<string, unknown>,
): Promise<T> {
  const begun = remainingMillis();
  let pauseMillis = firstPauseMillis;
  for (let tries = 1; ; tries++) {
    try {
      return await read();
    } catch (error) {
      if (!(error instanceof CaptureError) || error.code !== 'ClusterUnavailable') throw error;
      const over = tries >= maxTries || remainingMillis() - pauseMillis < keptMillis;
      if (!error.retryable || over) {
        throw tries === 1 ? error : givenUp(error, tries, begun - remainingMillis());
      }
      logger.info('cluster to be asked again', { ...about, tries, reason: messageOf(error) });
      await pause(pauseMillis);
      pauseMillis = Math.min(pauseMillis * 2, longestPauseMillis);
    }
  }
}

function givenUp(error: CaptureError, tries: number, millis: number): CaptureError {
  const { code, retryable, details } = error;
  const message = `${messageOf(error)} Tried ${tries} times within ${Math.round(millis / 1_000)} s.`;
  return new CaptureError(code, message, { retryable, details: { ...details }, cause: error });
}
