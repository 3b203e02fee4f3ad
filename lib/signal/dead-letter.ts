import { isJsonObject } from '../validation.ts';

/** What a function is to be given again, and why it was given up, where the sender says so. */
export interface DeadLetterContent {
  payload: unknown;
  /** In the sender's words, at most 300 characters: Lambda's condition and the function's error. */
  reason: string;
}

const maxReasonLength = 300;

/**
 * Reads a message of a dead-letter queue: Lambda's failure record, what EventBridge could not deliver (the event itself),
 * or what SNS could not (its notification). What is none of these is handed on as it is: the function says what is
 * wrong with it. `undefined` for what is not JSON, which no function can be given.
 * Source: https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-retain-records.html
 */
export function readDeadLetter(text: string): DeadLetterContent | undefined {
  let body: unknown;
  try {
    body = JSON.parse(text);
  } catch {
    return undefined;
  }
  if (!isJsonObject(body)) return { payload: body, reason: 'not said' };
  const { requestContext, requestPayload, responsePayload } = body;
  if (isJsonObject(requestContext) && requestPayload !== undefined) {
    const words = [
      textOf(requestContext['condition']),
      isJsonObject(responsePayload) ? textOf(responsePayload['errorMessage']) : '',
    ].filter((word) => word !== '');
    const reason = words.join(': ') || 'not said';
    return { payload: requestPayload, reason: reason.slice(0, maxReasonLength) };
  }
  if (body['Type'] === 'Notification' && typeof body['Message'] === 'string') {
    const record = { EventSource: 'aws:sns', EventVersion: '1.0', Sns: body };
    return { payload: { Records: [record] }, reason: 'SNS could not deliver it' };
  }
  return { payload: body, reason: 'not delivered' };
}

function textOf(value: unknown): string {
  return typeof value === 'string' ? value : '';
}
