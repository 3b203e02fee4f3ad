import { describe, expect, it } from '@jest/globals';
import type { DeadLetter } from '../../lib/aws/dead-letters.ts';
import { redrive } from '../../lib/cli/redrive/command.ts';

/** A queue a function, in memory; what is received is hidden until it is put back. */
function account(queues: Record<string, string[]>) {
  const said = { out: '', error: '' };
  const given: [string, unknown][] = [];
  const hidden = new Map<string, string>();
  const io = {
    outputsOf: (stackName: string) => {
      if (stackName !== 'heapcatch-prod') return Promise.reject(new Error(`no stack ${stackName}`));
      const names = ['Capture', 'Seal', 'Sweep'];
      return Promise.resolve(
        Object.fromEntries(
          names.flatMap((name) => [
            [`${name}DeadLettersUrl`, name.toLowerCase()],
            [`${name}FunctionName`, `f-${name.toLowerCase()}`],
          ]),
        ),
      );
    },
    open: (queueUrl: string, functionName: string) => ({
      receive: () => {
        const texts = (queues[queueUrl] ?? []).splice(0, 10);
        const letters = texts.map((text, index) => ({
          text,
          sentMillis: 1_795_000_000_000,
          receipt: `${queueUrl}-${hidden.size + index}-${text.length}`,
        }));
        for (const { receipt, text } of letters) hidden.set(receipt, text);
        return Promise.resolve(letters);
      },
      invoke: (payload: unknown) => {
        given.push([functionName, payload]);
        return Promise.resolve();
      },
      remove: ({ receipt }: DeadLetter) => {
        hidden.delete(receipt);
        return Promise.resolve();
      },
      putBack: ({ receipt, text }: DeadLetter) => {
        hidden.delete(receipt);
        (queues[queueUrl] ??= []).push(text);
        return Promise.resolve();
      },
    }),
    write: (text: string) => void (said.out += text),
    writeError: (text: string) => void (said.error += text),
  };
  return { io, said, given, hidden };
}

const failureRecord = JSON.stringify({
  version: '1.0',
  requestContext: { condition: 'RetriesExhausted', approximateInvokeCount: 3 },
  requestPayload: { namespace: 'shop', pod: 'cart-1' },
  responsePayload: { errorMessage: 'the API server does not answer' },
});

describe('heapcatch redrive', () => {
  it('gives each function what it was given before, and says why that had been given up', async () => {
    const event = { source: 'aws.s3', detail: {} };
    const notification = { Type: 'Notification', Message: '{}', TopicArn: 'arn:topic' };
    const queues = {
      capture: [failureRecord, JSON.stringify(notification)],
      seal: [JSON.stringify(event)],
    };
    const { io, said, given, hidden } = account(queues);

    expect(await redrive(['--stage', 'prod'], io)).toBe(0);

    expect(given).toEqual([
      ['f-capture', { namespace: 'shop', pod: 'cart-1' }],
      [
        'f-capture',
        { Records: [{ EventSource: 'aws:sns', EventVersion: '1.0', Sns: notification }] },
      ],
      ['f-seal', event],
    ]);
    expect(said.out).toContain('RetriesExhausted: the API server does not answer');
    expect(said.out).toContain('sweep: no dead letters');
    expect(queues).toEqual({ capture: [], seal: [] });
    expect(hidden.size).toBe(0);
  });

  it('only shows them with --dry-run', async () => {
    const queues = { capture: [failureRecord] };
    const { io, said, given } = account(queues);

    expect(await redrive(['--stage', 'prod', '--function', 'capture', '--dry-run'], io)).toBe(0);

    expect(said.out).toContain('RetriesExhausted');
    expect(given).toEqual([]);
    expect(queues.capture).toEqual([failureRecord]);
  });

  it('lets stay what is not JSON', async () => {
    const queues = { seal: ['<html>'] };
    const { io, said, given } = account(queues);

    expect(await redrive(['--stage', 'prod', '--function', 'seal'], io)).toBe(1);

    expect(said.error).toContain('is not JSON and stays');
    expect(given).toEqual([]);
    expect(queues.seal).toEqual(['<html>']);
  });

  it.each([
    [['--function', 'capture'], '--stage is ""'],
    [['--stage', 'prod', '--function', 'analyse'], 'accepted are: capture, seal, sweep'],
    [['--stage', 'dev'], 'no stack heapcatch-dev'],
  ])('says of %j what is wrong', async (words, message) => {
    const { io, said } = account({});

    expect(await redrive(words, io)).toBe(2);

    expect(said.error).toContain(message);
  });
});
