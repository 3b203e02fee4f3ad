import { GetParameterCommand, PutParameterCommand, SSMClient } from '@aws-sdk/client-ssm';
import { clusterNamePattern } from '../cluster-access.ts';
import { CaptureError } from '../errors.ts';
import { shown } from '../validation.ts';
import { serviceFaultOf } from './service-fault.ts';
import { boundedCalls } from './bounded-calls.ts';

/** The ways into the clusters: one SecureString parameter a cluster, `<prefix>/<clusterName>`. */
export interface ClusterRegistry {
  /**
   * What stands in the parameter, for parseRegistration; kept for 5 minutes.
   * @throws CaptureError InvalidConfiguration naming the parameter, when it is absent, empty or forbidden;
   *   ClusterUnavailable (retryable) when it could not be asked for.
   */
  readRegistration(clusterName: string): Promise<string>;
  /**
   * Registers a cluster by its whole kubeconfig, credentials included, or replaces that.
   * @throws CaptureError InvalidConfiguration: over 8 KiB, or forbidden; ClusterUnavailable (retryable).
   */
  writeKubeconfig(clusterName: string, kubeconfig: string): Promise<void>;
}

const keptMillis = 5 * 60 * 1000;
/** Of an advanced parameter; a standard one has 4 KiB. */
const maxKubeconfigBytes = 8 * 1024;

/** No message, error or log of it holds any part of a kubeconfig. */
export function createClusterRegistry(options: {
  /** Begins with a slash and ends without one. */
  parameterPrefix: string;
  region?: string;
  endpoint?: string;
  credentials?: { accessKeyId: string; secretAccessKey: string; sessionToken?: string };
  now?: () => number;
}): ClusterRegistry {
  const { parameterPrefix, now = Date.now, ...place } = options;
  const client = new SSMClient({
    ...place,
    ...boundedCalls({ connectionTimeout: 2_000, requestTimeout: 5_000, attemptCount: 3 }),
  });
  const kept = new Map<string, { text: string; untilMillis: number }>();
  const parameterOf = (clusterName: string): string =>
    clusterParameter(parameterPrefix, clusterName);

  return {
    async readRegistration(clusterName) {
      const name = parameterOf(clusterName);
      const known = kept.get(name);
      if (known !== undefined && now() < known.untilMillis) return known.text;
      const text = await readParameter(client, name);
      if (text.trim() === '') {
        throw invalid(`parameter ${name} is empty; accepted is an access record or a kubeconfig`);
      }
      kept.set(name, { text, untilMillis: now() + keptMillis });
      return text;
    },
    async writeKubeconfig(clusterName, kubeconfig) {
      const name = parameterOf(clusterName);
      const bytes = Buffer.byteLength(kubeconfig);
      if (bytes === 0 || bytes > maxKubeconfigBytes) {
        throw invalid(`a kubeconfig of ${bytes} bytes for ${name}: accepted are 1 to 8192`);
      }
      await writeParameter(client, name, kubeconfig);
      kept.delete(name);
    },
  };
}

/** @throws CaptureError InvalidConfiguration for a name that is none. */
export function clusterParameter(parameterPrefix: string, clusterName: string): string {
  if (clusterNamePattern.test(clusterName)) return `${parameterPrefix}/${clusterName}`;
  throw invalid(
    `clusterName ${shown(clusterName)} cannot name a parameter: accepted are up to 100 letters, digits, "-", "_" and "."`,
  );
}

async function readParameter(client: SSMClient, name: string): Promise<string> {
  try {
    const reply = await client.send(new GetParameterCommand({ Name: name, WithDecryption: true }));
    return reply.Parameter?.Value ?? '';
  } catch (error) {
    throw registryFault(error, `parameter ${name}`, 'ssm:GetParameter and kms:Decrypt');
  }
}

/** As a SecureString, over what was there. @throws CaptureError InvalidConfiguration, ClusterUnavailable (retryable). */
export async function writeParameter(
  client: SSMClient,
  name: string,
  value: string,
): Promise<void> {
  try {
    const command = new PutParameterCommand({
      Name: name,
      Value: value,
      Type: 'SecureString',
      Tier: 'Intelligent-Tiering',
      Overwrite: true,
    });
    await client.send(command);
  } catch (error) {
    throw registryFault(error, `parameter ${name}`, 'ssm:PutParameter and kms:Encrypt');
  }
}

/** The fault of a call about a parameter, in words that hold nothing of its value. */
export function registryFault(error: unknown, what: string, actions: string): CaptureError {
  const { code, denied, retryable } = serviceFaultOf(error);
  // Neither the service's message nor the error itself is passed on: a validation error quotes the value.
  if (code === 'ParameterNotFound') {
    return invalid(`${what} does not exist; "heapcatch cluster add" writes it`);
  }
  if (denied) return invalid(`${what} is forbidden (${code}); needed are ${actions}`);
  if (!retryable) return invalid(`${what} was refused: ${code}`);
  return new CaptureError('ClusterUnavailable', `${what} could not be asked for: ${code}`, {
    retryable: true,
  });
}

function invalid(message: string): CaptureError {
  return new CaptureError('InvalidConfiguration', message);
}
