import type { RetentionSettings } from '../lib/dump-index/retention.ts';
import { CaptureError } from '../lib/errors.ts';
import { retentionDayCounts } from '../lib/policy/retention.ts';
import { shown } from '../lib/validation.ts';

/** What the functions are told by their environment, validated. */
export interface FunctionConfig {
  /** Of the stack, for its metrics. */
  stage: string;
  tableName: string;
  bucketName: string;
  /** Where the functions run; Lambda says it. For the console's addresses. */
  region?: string;
  clusterParameterPrefix: string;
  defaultClusterName?: string;
  agentImage?: string;
  agentNamespace: string;
  agentCommand: readonly string[];
  /** Where pods reach S3, if not where the functions do. */
  publicS3Endpoint?: string;
  /** The KMS key whose data keys encrypt what pods ask to be encrypted. */
  encryptionKeyArn?: string;
  /** How long captures are kept: of seal and sweep. */
  retention: RetentionSettings;
  /** Every AWS service, for stand-ins. */
  awsEndpoint?: string;
}

type Env = Readonly<Record<string, string | undefined>>;

interface Variable {
  name: string;
  accepted: string;
  pattern: RegExp;
}

const httpUrl = { accepted: 'an http or https URL', pattern: /^https?:\/\/[^\s/?#][^\s?#]*$/ };
const variables = {
  stage: { name: 'STAGE', accepted: 'the name of a stage', pattern: /^[A-Za-z0-9-]{1,64}$/ },
  tableName: { name: 'TABLE_NAME', accepted: 'a DynamoDB table', pattern: /^[\w.:/-]{3,1024}$/ },
  bucketName: { name: 'BUCKET_NAME', accepted: 'a bucket', pattern: /^[a-z0-9.-]{3,63}$/ },
  clusterParameterPrefix: {
    name: 'CLUSTER_PARAMETER_PREFIX',
    accepted: 'a path of SSM parameters such as /heapcatch/prod/clusters',
    pattern: /^(\/[\w.-]+){1,14}$/,
  },
  defaultClusterName: {
    name: 'DEFAULT_CLUSTER_NAME',
    accepted: '1 to 100 letters, digits, "-", "_" and "."',
    pattern: /^[A-Za-z0-9]([-_.A-Za-z0-9]{0,98}[A-Za-z0-9])?$/,
  },
  agentImage: {
    name: 'AGENT_IMAGE',
    accepted: 'an image reference',
    pattern: /^[A-Za-z0-9][\w./:@-]{0,511}$/,
  },
  agentNamespace: {
    name: 'AGENT_NAMESPACE',
    accepted: 'a namespace (RFC 1123 label)',
    pattern: /^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/,
  },
  encryptionKeyArn: {
    name: 'ENCRYPTION_KEY_ARN',
    accepted: 'the ARN of a KMS key (not of an alias)',
    pattern: /^arn:aws[\w-]*:kms:[a-z0-9-]+:\d{12}:key\/[\w-]{1,100}$/,
  },
  retentionDays: {
    name: 'RETENTION_DAYS',
    accepted: 'a number of days from 1 to 36500',
    pattern: /^(?:[1-9][0-9]{0,3}|[12][0-9]{4}|3[0-5][0-9]{3}|36[0-4][0-9]{2}|36500)$/,
  },
  defaultRetentionDays: {
    name: 'DEFAULT_RETENTION_DAYS',
    accepted: `one of ${retentionDayCounts.join(', ')}`,
    pattern: new RegExp(`^(?:${retentionDayCounts.join('|')})$`),
  },
  region: {
    name: 'AWS_REGION',
    accepted: 'a region such as eu-central-1',
    pattern: /^[a-z0-9-]{1,40}$/,
  },
  publicS3Endpoint: { name: 'PUBLIC_S3_ENDPOINT', ...httpUrl },
  awsEndpoint: { name: 'AWS_ENDPOINT_URL', ...httpUrl },
} satisfies Record<string, Variable>;

/** As serverless.yml has it. */
const defaultMaxRetentionDays = 90;
const defaultAgentNamespace = 'heapcatch';
const defaultAgentCommand = ['/heapcatch/agent', 'start'];

/**
 * Reads a function's environment. An empty variable counts as absent: templates leave them behind.
 * @throws CaptureError InvalidConfiguration (permanent) naming every faulty variable, its value and what is accepted.
 */
export function readFunctionConfig(env: Env): FunctionConfig {
  const faults: string[] = [];
  const optional = (variable: Variable): string | undefined => {
    const text = env[variable.name]?.trim() ?? '';
    if (text === '') return undefined;
    if (variable.pattern.test(text)) return text;
    faults.push(`${variable.name} is ${shown(text)}, accepted is ${variable.accepted}`);
    return undefined;
  };
  const required = (variable: Variable): string => {
    const missing = (env[variable.name]?.trim() ?? '') === '';
    if (missing) faults.push(`${variable.name} is not set, accepted is ${variable.accepted}`);
    return optional(variable) ?? '';
  };
  const defaultClusterName = optional(variables.defaultClusterName);
  const agentImage = optional(variables.agentImage);
  const region = optional(variables.region);
  const publicS3Endpoint = optional(variables.publicS3Endpoint);
  const encryptionKeyArn = optional(variables.encryptionKeyArn);
  const awsEndpoint = optional(variables.awsEndpoint);
  const config: FunctionConfig = {
    stage: optional(variables.stage) ?? 'dev',
    tableName: required(variables.tableName),
    bucketName: required(variables.bucketName),
    ...(region === undefined ? {} : { region }),
    clusterParameterPrefix: required(variables.clusterParameterPrefix),
    ...(defaultClusterName === undefined ? {} : { defaultClusterName }),
    ...(agentImage === undefined ? {} : { agentImage }),
    agentNamespace: optional(variables.agentNamespace) ?? defaultAgentNamespace,
    agentCommand: readCommand(env['AGENT_COMMAND'], faults),
    ...(publicS3Endpoint === undefined ? {} : { publicS3Endpoint }),
    ...(encryptionKeyArn === undefined ? {} : { encryptionKeyArn }),
    retention: readRetention(optional),
    ...(awsEndpoint === undefined ? {} : { awsEndpoint }),
  };
  if (faults.length === 0) return config;
  throw new CaptureError('InvalidConfiguration', `environment is not valid: ${faults.join('; ')}`, {
    details: { faults },
  });
}

function readRetention(optional: (variable: Variable) => string | undefined): RetentionSettings {
  const maxDays = Number(optional(variables.retentionDays) ?? defaultMaxRetentionDays);
  const asked = optional(variables.defaultRetentionDays);
  const defaultDays = retentionDayCounts.find((days) => String(days) === asked);
  return { maxDays, ...(defaultDays === undefined ? {} : { defaultDays }) };
}

function readCommand(text: string | undefined, faults: string[]): readonly string[] {
  if (text === undefined || text.trim() === '') return defaultAgentCommand;
  try {
    const command: unknown = JSON.parse(text);
    if (Array.isArray(command) && command.length > 0 && command.length <= 32) {
      const words = command.filter((word) => typeof word === 'string' && word !== '') as string[];
      if (words.length === command.length) return words;
    }
  } catch {
    // The fault below says what is accepted.
  }
  faults.push(`AGENT_COMMAND is ${shown(text)}, accepted is a JSON array of 1 to 32 strings`);
  return defaultAgentCommand;
}
