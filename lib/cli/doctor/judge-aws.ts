import { isJsonObject } from '../../validation.ts';
import type { QueueState } from '../../aws/inspect-stack.ts';
import type { DoctorFacts, Finding, Seen } from './doctor-facts.ts';

export type Verdict = Omit<Finding, 'link'>;

export const ok = (says: string): Verdict => ({ state: 'ok', says });
export const warning = (says: string, advice: string): Verdict => ({
  state: 'warning',
  says,
  advice,
});
export const failed = (says: string, advice: string): Verdict => ({
  state: 'failed',
  says,
  advice,
});

/** Judges what was found; what was not looked at says why, and what could not be looked at fails, or warns, with the advice. */
export function judge<T>(
  link: string,
  seen: Seen<T>,
  unseen: { advice: string; state?: 'failed' | 'warning' },
  verdictOf: (found: T) => Verdict,
): Finding {
  if ('notLookedAt' in seen) return { link, state: 'notLookedAt', says: seen.notLookedAt };
  if ('found' in seen) return { link, ...verdictOf(seen.found) };
  return { link, state: unseen.state ?? 'failed', says: seen.fault, advice: unseen.advice };
}

/** The links in AWS, in the order in which they depend on each other. */
export function judgeAws(facts: DoctorFacts): Finding[] {
  const { stage } = facts;
  return [
    judge(
      'AWS credentials',
      facts.caller,
      { advice: 'sign in (aws sso login), or give --profile and --region' },
      ({ arn, region }) => ok(`${arn} in ${region}`),
    ),
    judge(
      'stack',
      facts.outputs,
      { advice: `deploy it: npx serverless deploy --stage ${stage}; or give --stage and --region` },
      (outputs) => ok(`heapcatch-${stage} with ${Object.keys(outputs).length} outputs`),
    ),
    judgeBucket(facts),
    judge(
      'round trip of an object',
      facts.roundTrip,
      {
        advice:
          'whoever runs this needs s3:PutObject, GetObject, DeleteObject on tickets/* and kms:GenerateDataKey, Decrypt on the DataKey',
      },
      (result) =>
        result === 'same'
          ? ok('put, read and deleted')
          : failed('what was read is not what was put', 'look for a proxy in front of the bucket'),
    ),
    judge(
      'claim table',
      facts.table,
      { advice: 'deploy the stack again; to look takes dynamodb:DescribeTable' },
      ({ status, indexNames }) => {
        if (status !== 'ACTIVE') return failed(`it is ${status}`, 'wait, or deploy again');
        if (indexNames.includes('open-captures')) return ok('active, with its index');
        return failed('the index open-captures is missing', 'deploy the stack again');
      },
    ),
    ...judgeFunctions(facts),
    ...facts.deadLetters.map(({ name, seen }) =>
      judge(
        `dead letters of ${name.replace('DeadLetters', '').toLowerCase()}`,
        seen,
        { state: 'warning', advice: 'to look takes sqs:GetQueueAttributes and ReceiveMessage' },
        judgeQueue,
      ),
    ),
  ];
}

function judgeBucket({ bucket }: DoctorFacts): Finding {
  const advice = 'to look takes s3:GetEncryptionConfiguration and s3:GetBucketPublicAccessBlock';
  return judge('bucket', bucket, { advice }, ({ encryption, publicAccessBlocked }) => {
    if (!publicAccessBlocked) {
      return failed(
        'public access is not blocked',
        'block all four kinds of it: dumps hold secrets',
      );
    }
    if (encryption === undefined || !encryption.startsWith('aws:kms')) {
      return warning(
        `encrypted with ${encryption ?? 'nothing that it names'}, not with a key of KMS`,
        'set SSE-KMS as its default, so that reading takes kms:Decrypt as well',
      );
    }
    return ok(`private, encrypted with ${encryption}`);
  });
}

function judgeFunctions({ functions }: DoctorFacts): Finding[] {
  return functions.map(({ name, seen }) =>
    judge(
      `function ${name}`,
      seen,
      { advice: 'deploy the stack again; to look takes lambda:GetFunctionConfiguration' },
      ({ state, lastUpdateStatus }) => {
        if (state !== 'Active' && state !== 'Inactive') {
          return failed(`it is ${state}`, 'look at its last deployment');
        }
        if (lastUpdateStatus === 'Failed') {
          return failed('its last update failed', 'deploy the stack again');
        }
        return ok(state === 'Active' ? 'active' : 'idle for long; the first signal wakes it');
      },
    ),
  );
}

function judgeQueue({ waitingCount, sample }: QueueState): Verdict {
  if (waitingCount === 0) return ok('none');
  const reason = sample === undefined ? 'it could not be read' : reasonOf(sample);
  return warning(
    `${waitingCount} wait; of one: ${reason}`,
    'cure the reason, then redrive the queue, or purge it: a signal older than 15 minutes cannot lead to a dump any more',
  );
}

/** Of a letter of Lambda (its destination's record), or of EventBridge and SNS, by its attributes. */
export function reasonOf({ body, attributes }: NonNullable<QueueState['sample']>): string {
  const said = attributes['ERROR_MESSAGE'] ?? attributes['ERROR_CODE'];
  if (said !== undefined) return said.slice(0, 500);
  let letter: unknown;
  try {
    letter = JSON.parse(body);
  } catch {
    return 'it gives no reason';
  }
  if (!isJsonObject(letter)) return 'it gives no reason';
  const { responsePayload, requestContext } = letter;
  const message = isJsonObject(responsePayload) ? responsePayload['errorMessage'] : undefined;
  if (typeof message === 'string') return message.slice(0, 500);
  const condition = isJsonObject(requestContext) ? requestContext['condition'] : undefined;
  return typeof condition === 'string' ? condition.slice(0, 100) : 'it gives no reason';
}
