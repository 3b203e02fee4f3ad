import { parseArgs } from 'node:util';
import { openDeadLetters, type DeadLetter, type DeadLetters } from '../../aws/dead-letters.ts';
import { readStackOutputs } from '../../aws/stack-outputs.ts';
import { CaptureError, messageOf } from '../../errors.ts';
import { readDeadLetter } from '../../signal/dead-letter.ts';
import { shown } from '../../validation.ts';

const functionNames = ['capture', 'seal', 'sweep'] as const;
type FunctionName = (typeof functionNames)[number];

const usage = `heapcatch redrive --stage STAGE [--function capture|seal|sweep] [--dry-run]

Gives the dead letters of a stack to their functions again, and says of each why it was given up. Mend the cause first.
What Lambda has taken is removed from the queue. Signals older than 15 minutes lead to no dump any more: the answer says so.
  --function NAME  that function's dead letters alone
  --dry-run        only shows them

Needs cloudformation:DescribeStacks, and on queues and functions sqs:ReceiveMessage, sqs:DeleteMessage,
sqs:ChangeMessageVisibility, lambda:InvokeFunction, kms:Decrypt on the stack's key. AWS_REGION, AWS_ENDPOINT_URL and
credentials come from the environment.

Exit codes: 0 none is left of those that were seen, 1 some had to stay, 2 not understood or not possible.
`;

/** Of one queue in one run; what is behind waits for the next. */
const maxLetterCount = 1_000;

/** What the command touches of the outside. */
export interface RedriveIo {
  outputsOf(stackName: string): Promise<Readonly<Record<string, string>>>;
  open(queueUrl: string, functionName: string): DeadLetters;
  write(text: string): void;
  writeError(text: string): void;
}

/** `heapcatch redrive`, on the process's own streams and the account of its environment. */
export function runRedriveCommand(words: readonly string[]): Promise<number> {
  const endpoint = process.env['AWS_ENDPOINT_URL'];
  const region = process.env['AWS_REGION'];
  const place = { ...(endpoint ? { endpoint } : {}), ...(region ? { region } : {}) };
  return redrive(words, {
    outputsOf: (stackName) => readStackOutputs(stackName, place),
    open: (queueUrl, functionName) => openDeadLetters({ queueUrl, functionName, ...place }),
    write: (text) => void process.stdout.write(text),
    writeError: (text) => void process.stderr.write(text),
  });
}

/** Runs the command; what it cannot do is said on the error stream. */
export async function redrive(words: readonly string[], io: RedriveIo): Promise<number> {
  try {
    const order = readWords(words);
    if (order === 'help') {
      io.write(usage);
      return 0;
    }
    const outputs = await io.outputsOf(`heapcatch-${order.stage}`);
    let stayed = 0;
    for (const name of order.functions) {
      stayed += await redriveOne(name, outputs, order.dryRun, io);
    }
    return stayed === 0 ? 0 : 1;
  } catch (error) {
    io.writeError(`heapcatch redrive: ${messageOf(error, 2_000)}\n`);
    return 2;
  }
}

interface Order {
  readonly stage: string;
  readonly functions: readonly FunctionName[];
  readonly dryRun: boolean;
}

function readWords(words: readonly string[]): Order | 'help' {
  const { values } = parseArgs({
    args: [...words],
    options: {
      stage: { type: 'string' },
      function: { type: 'string' },
      'dry-run': { type: 'boolean', default: false },
      help: { type: 'boolean', short: 'h' },
    },
  });
  if (values.help) return 'help';
  const { stage = '', function: one } = values;
  if (!/^[A-Za-z0-9][A-Za-z0-9-]{0,62}$/.test(stage)) {
    throw new CaptureError(
      'InvalidConfiguration',
      `--stage is ${shown(stage)}, accepted is the name of a deployed stage`,
    );
  }
  const functions = functionNames.filter((name) => one === undefined || name === one);
  if (functions.length > 0) return { stage, functions, dryRun: values['dry-run'] };
  throw new CaptureError(
    'InvalidConfiguration',
    `--function is ${shown(one)}, accepted are: ${functionNames.join(', ')}`,
  );
}

/** How many had to stay. */
async function redriveOne(
  name: FunctionName,
  outputs: Readonly<Record<string, string>>,
  dryRun: boolean,
  io: RedriveIo,
): Promise<number> {
  const title = `${name.slice(0, 1).toUpperCase()}${name.slice(1)}`;
  const queueUrl = outputs[`${title}DeadLettersUrl`];
  const functionName = outputs[`${title}FunctionName`];
  if (queueUrl === undefined || functionName === undefined) {
    throw new CaptureError('InvalidConfiguration', `the stack has no dead letters of ${name}`);
  }
  const letters = io.open(queueUrl, functionName);
  const kept: DeadLetter[] = [];
  let seen = 0;
  let stayed = 0;
  try {
    while (seen < maxLetterCount) {
      const some = await letters.receive();
      if (some.length === 0) break;
      for (const letter of some) {
        seen += 1;
        if (await giveAgain(name, letters, letter, dryRun, io)) continue;
        kept.push(letter);
        if (!dryRun) stayed += 1;
      }
    }
  } finally {
    for (const letter of kept) await letters.putBack(letter);
  }
  if (seen === 0) io.write(`${name}: no dead letters\n`);
  return stayed;
}

/** Whether it is gone from the queue. */
async function giveAgain(
  name: FunctionName,
  letters: DeadLetters,
  letter: DeadLetter,
  dryRun: boolean,
  io: RedriveIo,
): Promise<boolean> {
  const content = readDeadLetter(letter.text);
  const time = new Date(letter.sentMillis).toISOString();
  if (content === undefined) {
    io.writeError(`${name}: ${time}: is not JSON and stays in the queue\n`);
    return false;
  }
  if (dryRun) {
    io.write(`${name}: ${time}: ${content.reason}\n`);
    return false;
  }
  await letters.invoke(content.payload);
  await letters.remove(letter);
  io.write(`${name}: ${time}: given again; it had been given up: ${content.reason}\n`);
  return true;
}
