import { InvokeCommand, LambdaClient } from '@aws-sdk/client-lambda';
import {
  ChangeMessageVisibilityCommand,
  DeleteMessageCommand,
  ReceiveMessageCommand,
  SQSClient,
} from '@aws-sdk/client-sqs';
import { CaptureError } from '../errors.ts';
import { boundedCalls } from './bounded-calls.ts';
import { serviceFaultOf } from './service-fault.ts';

/** A message of a dead-letter queue, hidden from others for two minutes. */
export interface DeadLetter {
  text: string;
  /** When it came into the queue; milliseconds. */
  sentMillis: number;
  receipt: string;
}

/** One function's dead letters. @throws CaptureError InvalidConfiguration, naming what is missing or forbidden. */
export interface DeadLetters {
  /** At most ten; empty when the queue has none that are not hidden. */
  receive(): Promise<readonly DeadLetter[]>;
  /** Gives the payload to the function, which handles it at its own time; answered when Lambda has taken it. */
  invoke(payload: unknown): Promise<void>;
  remove(letter: DeadLetter): Promise<void>;
  /** Shows it to others at once. */
  putBack(letter: DeadLetter): Promise<void>;
}

const hiddenSeconds = 120;

export function openDeadLetters(options: {
  queueUrl: string;
  functionName: string;
  region?: string;
  endpoint?: string;
}): DeadLetters {
  const { queueUrl, functionName, ...place } = options;
  const bounds = boundedCalls({
    connectionTimeout: 2_000,
    requestTimeout: 10_000,
    attemptCount: 3,
  });
  // Behind an endpoint of our own the host in a queue's URL may be one that only the service knows.
  const useQueueUrlAsEndpoint = place.endpoint === undefined;
  const sqs = new SQSClient({ ...place, ...bounds, useQueueUrlAsEndpoint });
  const lambda = new LambdaClient({ ...place, ...bounds });
  const of = (letter: DeadLetter) => ({ QueueUrl: queueUrl, ReceiptHandle: letter.receipt });
  return {
    receive: () => calling('sqs:ReceiveMessage', queueUrl, () => receive(sqs, queueUrl)),
    invoke: (payload) =>
      calling('lambda:InvokeFunction', functionName, async () => {
        const Payload = Buffer.from(JSON.stringify(payload));
        const order = { FunctionName: functionName, InvocationType: 'Event' as const, Payload };
        await lambda.send(new InvokeCommand(order));
      }),
    remove: (letter) =>
      calling('sqs:DeleteMessage', queueUrl, async () => {
        await sqs.send(new DeleteMessageCommand(of(letter)));
      }),
    putBack: (letter) =>
      calling('sqs:ChangeMessageVisibility', queueUrl, async () => {
        await sqs.send(new ChangeMessageVisibilityCommand({ ...of(letter), VisibilityTimeout: 0 }));
      }),
  };
}

async function receive(sqs: SQSClient, queueUrl: string): Promise<readonly DeadLetter[]> {
  const command = new ReceiveMessageCommand({
    QueueUrl: queueUrl,
    MaxNumberOfMessages: 10,
    VisibilityTimeout: hiddenSeconds,
    WaitTimeSeconds: 1,
    MessageSystemAttributeNames: ['SentTimestamp'],
  });
  const { Messages = [] } = await sqs.send(command);
  return Messages.map((message) => ({
    text: message.Body ?? '',
    sentMillis: Number(message.Attributes?.['SentTimestamp'] ?? 0),
    receipt: message.ReceiptHandle ?? '',
  }));
}

async function calling<T>(action: string, on: string, call: () => Promise<T>): Promise<T> {
  try {
    return await call();
  } catch (cause) {
    const { message, denied, retryable } = serviceFaultOf(cause);
    const why = denied ? `${action} is not allowed on ${on}` : `${action} on ${on}: ${message}`;
    throw new CaptureError('InvalidConfiguration', why, { cause, retryable });
  }
}
