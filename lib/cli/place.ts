import type { DataKeys, ObjectStore } from '../capture/ports.ts';
import type { ClaimStore } from '../claim/claim-store.ts';
import { CaptureError } from '../errors.ts';
import { shown } from '../validation.ts';
import { misunderstood } from './command-line.ts';

/** Options that say which AWS account, region and stack is meant; every command on captures has them. */
export const placeOptions = {
  profile: { type: 'string' },
  region: { type: 'string' },
  stack: { type: 'string' },
  bucket: { type: 'string' },
} as const;

export const placeUsage = `  --stack NAME     the deployed stack, such as heapcatch-prod; or HEAPCATCH_STACK; not needed where there is one only
  --bucket NAME    the bucket of the dumps, in place of a stack; or HEAPCATCH_BUCKET
  --profile NAME   profile of the AWS configuration, before AWS_PROFILE and credentials in the environment
  --region NAME    region, before AWS_REGION and that of the profile`;

/** Where captures lie, and the function that makes them. What is not asked for is not connected to. */
export interface Place {
  readonly bucketName: string;
  readonly objects: ObjectStore;
  readonly dataKeys: Pick<DataKeys, 'decrypt'>;
  /** The claim table; `undefined` where only a bucket is known. */
  readonly claims: Pick<ClaimStore, 'listRunning' | 'readCapture'> | undefined;
  /**
   * Invokes the capture function and waits for its answer.
   * @throws CaptureError InvalidConfiguration where only a bucket is known, or when the function failed.
   */
  invokeCapture(payload: unknown): Promise<unknown>;
}

/** As the options and the environment name it. */
export interface PlaceOrder {
  readonly profile?: string;
  readonly region?: string;
  readonly stack?: string;
  readonly bucket?: string;
}

type Env = Readonly<Record<string, string | undefined>>;

const accepted = {
  profile: { pattern: /^[^\p{Cc}]{1,200}$/u, words: 'the name of a profile' },
  region: { pattern: /^[a-z0-9-]{1,40}$/, words: 'a region such as eu-central-1' },
  stack: { pattern: /^[A-Za-z][A-Za-z0-9-]{0,127}$/, words: 'the name of a stack' },
  bucket: { pattern: /^[a-z0-9.-]{3,63}$/, words: 'the name of a bucket' },
} as const;

/**
 * Which place is meant. An option goes before the environment, and a bucket before a stack of the same origin.
 * @throws CaptureError InvalidConfiguration naming the option or variable, and what is accepted.
 */
export function readPlaceOrder(values: PlaceOrder, env: Env): PlaceOrder {
  const { stack, bucket } =
    values.stack === undefined && values.bucket === undefined
      ? { stack: env['HEAPCATCH_STACK'], bucket: env['HEAPCATCH_BUCKET'] }
      : values;
  const { profile, region } = values;
  const order = { profile, region, stack, bucket };
  const given = Object.entries(order).filter(([, text]) => text !== undefined && text !== '');
  for (const [name, text = ''] of given) {
    const { pattern, words } = accepted[name as keyof typeof accepted];
    if (!pattern.test(text)) throw misunderstood(`${name} ${shown(text)}: accepted is ${words}`);
  }
  return Object.fromEntries(given);
}

/** The stack's outputs that the command line needs. */
export interface StackOutputs {
  readonly bucketName: string;
  readonly tableName: string;
  readonly captureFunctionName: string;
}

/** @throws CaptureError InvalidConfiguration: the stack is not one of ours. */
export function stackOutputsOf(
  stackName: string,
  outputs: Readonly<Record<string, string>>,
): StackOutputs {
  const output = (name: string): string => {
    const value = outputs[name];
    if (value !== undefined && value !== '') return value;
    throw new CaptureError(
      'InvalidConfiguration',
      `stack ${stackName} has no output ${name}: accepted is a stack of heapcatch`,
    );
  };
  return {
    bucketName: output('DumpBucketName'),
    tableName: output('ClaimTableName'),
    captureFunctionName: output('CaptureFunctionName'),
  };
}
