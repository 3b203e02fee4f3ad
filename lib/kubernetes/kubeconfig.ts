import { KubeConfig } from '@kubernetes/client-node';
import { CaptureError } from '../errors.ts';

const serviceAccountDirectory = '/var/run/secrets/kubernetes.io/serviceaccount';

/**
 * The kubeconfig of the pod this program runs in, as JSON text. The token is named by its file and re-read by
 * the client every minute, since the kubelet rotates it.
 * @throws CaptureError InvalidConfiguration outside of a cluster.
 */
export function inClusterKubeconfig(env: Readonly<Record<string, string | undefined>>): string {
  const host = env['KUBERNETES_SERVICE_HOST'];
  const port = env['KUBERNETES_SERVICE_PORT'];
  if (!host || !port) {
    throw new CaptureError(
      'InvalidConfiguration',
      'This program does not run in a pod: KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT are not set; ' +
        'give it a kubeconfig.',
    );
  }
  return JSON.stringify({
    apiVersion: 'v1',
    kind: 'Config',
    clusters: [
      {
        name: 'in-cluster',
        cluster: {
          server: `https://${host.includes(':') ? `[${host}]` : host}:${port}`,
          'certificate-authority': `${serviceAccountDirectory}/ca.crt`,
        },
      },
    ],
    users: [
      {
        name: 'service-account',
        user: {
          'auth-provider': {
            name: 'tokenFile',
            config: { tokenFile: `${serviceAccountDirectory}/token` },
          },
        },
      },
    ],
    contexts: [{ name: 'in-cluster', context: { cluster: 'in-cluster', user: 'service-account' } }],
    'current-context': 'in-cluster',
  });
}

/**
 * Loads a kubeconfig from its text, YAML or JSON.
 * The text's own errors are left out of the message: a YAML parser quotes the line, and that line may be a token.
 * @throws CaptureError InvalidConfiguration.
 */
export function loadKubeconfig(text: string): { config: KubeConfig; server: URL } {
  const config = new KubeConfig();
  try {
    config.loadFromString(text);
  } catch {
    throw invalid('it does not parse');
  }
  const cluster = config.getCurrentCluster();
  if (!cluster) throw invalid('its current context names no cluster');
  if (!URL.canParse(cluster.server)) throw invalid('its server is not a URL');
  const server = new URL(cluster.server);
  if (server.protocol !== 'https:' && !(server.protocol === 'http:' && cluster.skipTLSVerify)) {
    throw invalid('its server is neither https nor http with insecure-skip-tls-verify');
  }
  return { config, server };
}

function invalid(fault: string): CaptureError {
  return new CaptureError(
    'InvalidConfiguration',
    `The kubeconfig is not valid: ${fault}; accepted is YAML or JSON with a current context.`,
  );
}
