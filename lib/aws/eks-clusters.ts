import { DescribeClusterCommand, EKSClient } from '@aws-sdk/client-eks';
import { CaptureError } from '../errors.ts';
import { boundedCalls } from './bounded-calls.ts';
import type { AwsPlace } from './cluster-credentials.ts';
import { serviceFaultOf } from './service-fault.ts';

export interface EksCluster {
  readonly server: string;
  /** PEM. */
  readonly certificateAuthority: string;
  /** Whether the endpoint can be reached from outside of its VPC. */
  readonly publicEndpoint: boolean;
  /** `CONFIG_MAP` knows no access entries. */
  readonly authenticationMode: string | undefined;
}

/**
 * Endpoint and certificate authority of an EKS cluster.
 * @throws CaptureError InvalidConfiguration: there is none of that name, it is not ready, or it may not be looked at;
 *   ClusterUnavailable (retryable).
 */
export async function describeEksCluster(
  eksClusterName: string,
  place: AwsPlace & { region: string },
): Promise<EksCluster> {
  const client = new EKSClient({
    ...place,
    ...boundedCalls({ connectionTimeout: 2_000, requestTimeout: 10_000, attemptCount: 3 }),
  });
  const what = `EKS cluster ${eksClusterName} in ${place.region}`;
  try {
    const { cluster } = await client.send(new DescribeClusterCommand({ name: eksClusterName }));
    const { endpoint, certificateAuthority, status } = cluster ?? {};
    if (endpoint === undefined || certificateAuthority?.data === undefined) {
      throw invalid(`${what} has no endpoint yet: it is ${status ?? 'in no known state'}`);
    }
    return {
      server: endpoint,
      certificateAuthority: Buffer.from(certificateAuthority.data, 'base64').toString('utf8'),
      publicEndpoint: cluster?.resourcesVpcConfig?.endpointPublicAccess ?? true,
      authenticationMode: cluster?.accessConfig?.authenticationMode,
    };
  } catch (error) {
    if (error instanceof CaptureError) throw error;
    throw describeFault(error, what);
  } finally {
    client.destroy();
  }
}

function describeFault(error: unknown, what: string): CaptureError {
  const { code, denied, retryable, message } = serviceFaultOf(error);
  if (code === 'ResourceNotFoundException') return invalid(`there is no ${what}`);
  if (denied)
    return invalid(`${what} may not be looked at (${code}); needed is eks:DescribeCluster`);
  if (!retryable) return invalid(`${what}: ${code}: ${message}`);
  return new CaptureError('ClusterUnavailable', `${what} could not be asked for: ${code}`, {
    retryable: true,
  });
}

function invalid(message: string): CaptureError {
  return new CaptureError('InvalidConfiguration', message);
}
