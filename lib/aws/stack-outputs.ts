import {
  CloudFormationClient,
  DescribeStacksCommand,
  type DescribeStacksCommandOutput,
  type Stack,
} from '@aws-sdk/client-cloudformation';
import { CaptureError, messageOf } from '../errors.ts';
import { boundedCalls } from './bounded-calls.ts';
import { serviceFaultOf } from './service-fault.ts';

export type Outputs = Readonly<Record<string, string>>;

interface StackPlace {
  region?: string;
  endpoint?: string;
}

/** Pages of stacks that are looked through, of up to 100 each. */
const maxPageCount = 20;

/**
 * The outputs of a deployed stack, by name.
 * @throws CaptureError InvalidConfiguration when there is no such stack, or it may not be read.
 */
export async function readStackOutputs(
  stackName: string,
  place: StackPlace = {},
): Promise<Outputs> {
  return describing(place, `stack ${stackName}`, async (ask) => {
    const reply = await ask(new DescribeStacksCommand({ StackName: stackName }));
    return outputsOf(reply.Stacks?.[0]);
  });
}

/**
 * The stacks of account and region that are called heapcatch-… and have this output; at most 2,000 are looked at.
 * @throws CaptureError InvalidConfiguration when stacks may not be listed.
 */
export async function findStacks(
  outputName: string,
  place: StackPlace = {},
): Promise<readonly { name: string; outputs: Outputs }[]> {
  return describing(place, 'stacks', async (ask) => {
    const found: { name: string; outputs: Outputs }[] = [];
    let token: string | undefined;
    for (let page = 0; page < maxPageCount; page += 1) {
      const reply = await ask(new DescribeStacksCommand(token ? { NextToken: token } : {}));
      for (const stack of reply.Stacks ?? []) {
        const { StackName: name = '' } = stack;
        const outputs = outputsOf(stack);
        if (name.startsWith('heapcatch-') && outputName in outputs) found.push({ name, outputs });
      }
      token = reply.NextToken;
      if (!token) break;
    }
    return found;
  });
}

type Ask = (command: DescribeStacksCommand) => Promise<DescribeStacksCommandOutput>;

async function describing<T>(
  place: StackPlace,
  what: string,
  look: (ask: Ask) => Promise<T>,
): Promise<T> {
  const client = new CloudFormationClient({
    ...boundedCalls({ connectionTimeout: 2_000, requestTimeout: 10_000, attemptCount: 3 }),
    ...place,
  });
  try {
    return await look((command) => client.send(command));
  } catch (cause) {
    const { denied } = serviceFaultOf(cause);
    const why = denied ? 'needed is cloudformation:DescribeStacks' : messageOf(cause, 300);
    throw new CaptureError('InvalidConfiguration', `${what} could not be read: ${why}`, { cause });
  } finally {
    client.destroy();
  }
}

function outputsOf(stack: Stack | undefined): Outputs {
  return Object.fromEntries(
    (stack?.Outputs ?? []).map((output) => [output.OutputKey ?? '', output.OutputValue ?? '']),
  );
}
