import { parseNotification } from '../lib/capture/manifest-notification.ts';
import { sealCapture, type SealAnswer } from '../lib/capture/seal.ts';
import { finishDeps, lazyWiring, type FunctionContext, type Wiring } from './wiring.ts';

export interface SealAnswers {
  answers: readonly SealAnswer[];
}

/**
 * Handles the arrival of manifests, by EventBridge or by S3's own notification. Every fault of sealing can pass, so
 * that it leaves the handler and the notification is delivered again; sweep is behind the last delivery.
 */
export function createHandler(wire: () => Wiring) {
  return async (invocation: unknown, context: FunctionContext): Promise<SealAnswers> => {
    const wiring = wire();
    const { arrived, foreignCount } = parseNotification(invocation, wiring.config.bucketName);
    if (foreignCount > 0) {
      const { awsRequestId } = context;
      wiring.logger.warn('notification is not of a manifest', { awsRequestId, foreignCount });
    }
    const answers: SealAnswer[] = [];
    const faults: unknown[] = [];
    for (const manifest of arrived) {
      try {
        answers.push(await sealCapture(finishDeps(wiring, context), manifest));
      } catch (error) {
        const { awsRequestId } = context;
        const { captureId } = manifest;
        wiring.logger.error('capture not sealed', { awsRequestId, captureId, error });
        faults.push(error);
      }
    }
    if (faults.length > 0) throw faults[0];
    return { answers };
  };
}

export const handler = createHandler(lazyWiring('seal'));
