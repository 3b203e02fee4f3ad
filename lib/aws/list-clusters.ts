import { GetParametersByPathCommand, SSMClient } from '@aws-sdk/client-ssm';
import { CaptureError } from '../errors.ts';
import { boundedCalls } from './bounded-calls.ts';
import { serviceFaultOf } from './service-fault.ts';

/** Of 10 names each, SSM's most. */
const maxPageCount = 10;

/**
 * The names of the registered clusters, at most 100. Their parameters stay encrypted: only the names are looked at.
 * @throws CaptureError InvalidConfiguration when it is forbidden; ClusterUnavailable (retryable).
 */
export async function listClusters(options: {
  /** Begins with a slash and ends without one. */
  parameterPrefix: string;
  endpoint?: string;
  region?: string;
  credentials?: { accessKeyId: string; secretAccessKey: string; sessionToken?: string };
}): Promise<readonly string[]> {
  const { parameterPrefix, ...place } = options;
  const client = new SSMClient({
    ...place,
    ...boundedCalls({ connectionTimeout: 2_000, requestTimeout: 5_000, attemptCount: 2 }),
  });
  const names: string[] = [];
  try {
    let token: string | undefined;
    for (let page = 0; page < maxPageCount; page += 1) {
      const reply = await client.send(
        new GetParametersByPathCommand({
          Path: parameterPrefix,
          ...(token === undefined ? {} : { NextToken: token }),
        }),
      );
      for (const { Name: name } of reply.Parameters ?? []) {
        if (name?.startsWith(`${parameterPrefix}/`))
          names.push(name.slice(parameterPrefix.length + 1));
      }
      token = reply.NextToken;
      if (!token) break;
    }
    return names.sort();
  } catch (error) {
    throw listFault(error, parameterPrefix);
  } finally {
    client.destroy();
  }
}

/** Without the service's message, which may quote what it was asked. */
function listFault(error: unknown, parameterPrefix: string): CaptureError {
  const { code, denied, retryable } = serviceFaultOf(error);
  const what = `the clusters registered under ${parameterPrefix}`;
  if (denied) {
    const message = `${what} may not be listed (${code}); needed is ssm:GetParametersByPath. Name cluster and namespace beside the pod`;
    return new CaptureError('InvalidConfiguration', message);
  }
  return new CaptureError('ClusterUnavailable', `${what} could not be listed: ${code}`, {
    retryable,
  });
}
