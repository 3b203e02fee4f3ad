import * as z from 'zod';
import { CaptureError } from '../../errors.ts';
import { validate } from '../../validation.ts';

const answerSchema = z.object({
  decision: z.enum(['dump', 'skip', 'failed']),
  reason: z.string(),
  message: z.string(),
  next: z.string(),
  captureId: z.string().optional(),
  objectPrefix: z.string().optional(),
  rung: z.string().optional(),
  indexEntry: z
    .object({ objectKey: z.string(), uri: z.string(), consoleUrl: z.string().optional() })
    .optional(),
});

/** What the capture function answered; fields that this version does not know are left out. */
export type CaptureReply = z.output<typeof answerSchema>;

/** @throws CaptureError NotSupported: not what a capture function answers to one request. */
export function readReply(reply: unknown): CaptureReply {
  const shape = z.object({ answers: z.array(answerSchema).length(1) });
  const { answers } = validate(shape, reply, 'NotSupported', 'answer of the capture function');
  const [answer] = answers;
  if (answer === undefined) throw new CaptureError('NotSupported', 'there is no answer');
  return answer;
}
