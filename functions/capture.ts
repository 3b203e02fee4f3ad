import { failedAnswer, skipAnswer } from '../lib/capture/weigh-signal.ts';
import type { CaptureAnswer } from '../lib/capture/capture-answer.ts';
import { locatePod } from '../lib/capture/locate-pod.ts';
import { patientCluster } from '../lib/capture/patient-cluster.ts';
import { startCapture } from '../lib/capture/start-capture.ts';
import { CaptureError, messageOf } from '../lib/errors.ts';
import { parseInvocation } from '../lib/signal/parse-invocation.ts';
import type { Signal } from '../lib/signal/signal.ts';
import type { SoughtPod } from '../lib/signal/sought-pod.ts';
import { readExecAgentJar } from './exec-agent-jar.ts';
import { finishDeps, lazyWiring, type FunctionContext, type Wiring } from './wiring.ts';

/** How long a ticket may be fetched: an image pull and the agent's start, and no longer. */
const ticketStartSeconds = 300;
/**
 * From a signal to the start of its agent; what the function has beyond is for a relay (docs/decisions/exec.md). A claim
 * that has not started by then counts as that of a dead run soon after.
 */
export const startMillis = 60_000;
/** What a signal needs at least; what is left over is delivered again. */
const minMillisPerSignal = 10_000;

export interface CaptureAnswers {
  /** One for each signal of the invocation, in order. */
  answers: readonly CaptureAnswer[];
}

/**
 * Handles signals in any envelope. Each is answered by itself. What can never succeed (malformed, forbidden) is
 * logged, answered and thereby acknowledged; if anything can succeed later, the invocation fails at its end, is
 * delivered again as a whole, and those that have their capture answer `AlreadyCaptured`.
 */
export function createHandler(wire: () => Wiring) {
  return async (invocation: unknown, context: FunctionContext): Promise<CaptureAnswers> => {
    const wiring = wire();
    const clusterName = wiring.config.defaultClusterName;
    const parsed = parseInvocation(invocation, {
      now: wiring.clock(),
      ...(clusterName === undefined ? {} : { clusterName }),
    });
    const answers: CaptureAnswer[] = [];
    const relays: (() => Promise<void>)[] = [];
    const retryable: unknown[] = [];
    for (const item of parsed) {
      try {
        if ('fault' in item) throw item.fault;
        if ('notFiring' in item) {
          answers.push(skipAnswer('AlertNotFiring', item.notFiring));
          continue;
        }
        const named = 'sought' in item ? await locate(wiring, item.sought, context) : item;
        answers.push(
          'answer' in named
            ? named.answer
            : await answerSignal(wiring, named.signal, context, relays),
        );
      } catch (error) {
        const { awsRequestId } = context;
        if (error instanceof CaptureError && !error.retryable) {
          wiring.logger.error('signal refused', { awsRequestId, error, details: error.details });
          answers.push(failedAnswer(error.code, messageOf(error)));
        } else {
          wiring.logger.warn('signal to be tried again', { awsRequestId, error });
          retryable.push(error);
        }
      }
    }
    // They take minutes. None throws, and none may stop another.
    await Promise.all(relays.map((fetch) => fetch()));
    if (retryable.length > 0) throw retryable[0];
    return { answers };
  };
}

function locate(wiring: Wiring, sought: SoughtPod, context: FunctionContext) {
  const { awsRequestId } = context;
  const remainingMillis = (): number => context.getRemainingTimeInMillis();
  const logger = wiring.logger.with({ awsRequestId });
  return locatePod({ ...wiring, remainingMillis, logger }, sought);
}

async function answerSignal(
  wiring: Wiring,
  signal: Signal,
  context: FunctionContext,
  relays: (() => Promise<void>)[],
): Promise<CaptureAnswer> {
  if (context.getRemainingTimeInMillis() < minMillisPerSignal) {
    throw new CaptureError(
      'DeadlineExceeded',
      `${context.getRemainingTimeInMillis()} ms are left of the function's time; a signal needs ${minMillisPerSignal} ms`,
      { retryable: true },
    );
  }
  const { agentImage, agentCommand, bucketName, region } = wiring.config;
  const execAgentJar = jarOfPackage();
  const remainingMillis = (): number => context.getRemainingTimeInMillis();
  const begun = wiring.clock().getTime();
  const startRemainingMillis = (): number =>
    Math.min(remainingMillis(), startMillis - (wiring.clock().getTime() - begun));
  return startCapture(
    {
      ...finishDeps(wiring, context),
      remainingMillis: startRemainingMillis,
      cluster: patientCluster(await wiring.clusterOf(signal.clusterName), {
        remainingMillis: startRemainingMillis,
        logger: wiring.logger,
      }),
      dataKeys: wiring.dataKeys,
      settings: {
        ...(agentImage === undefined ? {} : { agentImage }),
        agentCommand,
        ...(execAgentJar === undefined ? {} : { execAgentJar }),
        relay: {
          remainingMillis,
          defer: (fetch) => relays.push(fetch),
          openDump: async (upload) => {
            // Few captures need it.
            const { openRelayedDump } = await import('../lib/agent/relayed-dump.ts');
            return openRelayedDump(upload);
          },
        },
        index: { bucketName, region },
        ticketStartSeconds,
      },
    },
    signal,
  );
}

let packaged: { jar: Uint8Array | undefined } | undefined;

/** Read on the first signal: an import must not touch the disk. */
function jarOfPackage(): Uint8Array | undefined {
  return (packaged ??= { jar: readExecAgentJar() }).jar;
}

export const handler = createHandler(lazyWiring('capture'));
