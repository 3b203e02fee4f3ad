import { CloudFormationClient, DescribeStacksCommand } from '@aws-sdk/client-cloudformation';
import {
  CreateStackCommand,
  GetTemplateCommand,
  UpdateStackCommand,
} from '@aws-sdk/client-cloudformation';
import { mkdtempSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { createClusterRegistry } from '../../lib/aws/cluster-registry.ts';
import { invokeFunction } from '../../lib/aws/function-invoker.ts';
import { readStackOutputs } from '../../lib/aws/stack-outputs.ts';
import { startLocalAws } from '../../lib/local/aws/local-aws.ts';
import { eventually } from '../e2e/shell.ts';

export interface Template {
  Resources: Record<string, { Type: string; Properties: Record<string, unknown> }>;
  Parameters?: Record<string, unknown>;
  Outputs?: Record<string, unknown>;
  Conditions?: Record<string, unknown>;
}

/** A local account of one's own, empty. It takes region and credentials of this process as well. */
export async function openAccount() {
  const folder = mkdtempSync(path.join(tmpdir(), 'heapcatch-stack-'));
  const aws = await startLocalAws({
    stateFolder: folder,
    report: (line) => process.stderr.write(`${line}\n`),
  });
  Object.assign(process.env, aws.env);
  const place = { region: 'us-east-1', endpoint: aws.endpoint };
  const cloudFormation = new CloudFormationClient(place);
  return {
    ...place,
    env: aws.env,
    outputsOf: (stackName: string) => readStackOutputs(stackName, place),
    invoke: (functionName: string, payload: unknown) =>
      invokeFunction(functionName, payload, place),
    registry: (stage: string) =>
      createClusterRegistry({ parameterPrefix: `/heapcatch/${stage}/clusters`, ...place }),
    stacks: stacksOf(cloudFormation),
    async close(): Promise<void> {
      cloudFormation.destroy();
      await aws.close();
      await rm(folder, { recursive: true, force: true });
    },
  };
}
export type Account = Awaited<ReturnType<typeof openAccount>>;

const capabilities = { Capabilities: ['CAPABILITY_IAM', 'CAPABILITY_NAMED_IAM'] as const };

function stacksOf(client: CloudFormationClient) {
  const statusOf = async (stackName: string): Promise<string> => {
    const reply = await client.send(new DescribeStacksCommand({ StackName: stackName }));
    return reply.Stacks?.[0]?.StackStatus ?? 'none';
  };
  const settled = (stackName: string): Promise<string> =>
    eventually(`the end of ${stackName}'s change`, 60, async () => {
      const status = await statusOf(stackName);
      return status.endsWith('_IN_PROGRESS') ? undefined : status;
    });
  const parametersOf = (values: Readonly<Record<string, string>>) =>
    Object.entries(values).map(([ParameterKey, ParameterValue]) => ({
      ParameterKey,
      ParameterValue,
    }));
  return {
    statusOf,
    async templateOf(stackName: string): Promise<Template> {
      const reply = await client.send(new GetTemplateCommand({ StackName: stackName }));
      return JSON.parse(reply.TemplateBody ?? '{}') as Template;
    },
    /** Answers the status in which it ended. */
    async create(
      stackName: string,
      template: Template,
      parameters: Readonly<Record<string, string>> = {},
    ): Promise<string> {
      const command = new CreateStackCommand({
        StackName: stackName,
        TemplateBody: JSON.stringify(template),
        Parameters: parametersOf(parameters),
        Capabilities: [...capabilities.Capabilities],
      });
      await client.send(command);
      return settled(stackName);
    },
    /** Answers the status in which it ended. */
    async update(stackName: string, template: Template): Promise<string> {
      const command = new UpdateStackCommand({
        StackName: stackName,
        TemplateBody: JSON.stringify(template),
        Capabilities: [...capabilities.Capabilities],
      });
      await client.send(command);
      return settled(stackName);
    },
  };
}
