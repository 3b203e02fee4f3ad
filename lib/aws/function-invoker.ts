import { InvokeCommand, LambdaClient } from '@aws-sdk/client-lambda';
import { CaptureError } from '../errors.ts';
import { boundedCalls } from './bounded-calls.ts';

/**
 * Invokes a function and waits for its answer, parsed.
 * @throws CaptureError InvalidConfiguration with the function's own error when it failed.
 */
export async function invokeFunction(
  functionName: string,
  payload: unknown,
  options: { region?: string; endpoint?: string } = {},
): Promise<unknown> {
  const client = new LambdaClient({
    // As long as Lambda lets a function run: where it fetches a capture itself, it answers behind that.
    ...boundedCalls({ connectionTimeout: 2_000, requestTimeout: 900_000, attemptCount: 1 }),
    ...options,
  });
  try {
    const reply = await client.send(
      new InvokeCommand({
        FunctionName: functionName,
        Payload: Buffer.from(JSON.stringify(payload)),
      }),
    );
    const text = Buffer.from(reply.Payload ?? []).toString('utf8');
    if (reply.FunctionError !== undefined) {
      throw new CaptureError(
        'InvalidConfiguration',
        `${functionName} failed: ${text.slice(0, 500)}`,
      );
    }
    return text === '' ? undefined : (JSON.parse(text) as unknown);
  } finally {
    client.destroy();
  }
}
