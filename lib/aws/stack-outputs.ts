import { CloudFormationClient, DescribeStacksCommand } from '@aws-sdk/client-cloudformation';
import { CaptureError } from '../errors.ts';

/**
 * The outputs of a deployed stack, by name.
 * @throws CaptureError InvalidConfiguration when there is no such stack.
 */
export async function readStackOutputs(
  stackName: string,
  options: { region?: string; endpoint?: string } = {},
): Promise<Readonly<Record<string, string>>> {
  const client = new CloudFormationClient({ maxAttempts: 3, ...options });
  try {
    const reply = await client.send(new DescribeStacksCommand({ StackName: stackName }));
    const outputs = reply.Stacks?.[0]?.Outputs ?? [];
    return Object.fromEntries(
      outputs.map((output) => [output.OutputKey ?? '', output.OutputValue ?? '']),
    );
  } catch (cause) {
    throw new CaptureError('InvalidConfiguration', `no stack ${stackName} could be read`, {
      cause,
    });
  } finally {
    client.destroy();
  }
}
