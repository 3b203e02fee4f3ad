import type https from 'node:https';
import type { RegisteredCluster } from '../cluster-access.ts';
import { loadKubeconfig } from './kubeconfig.ts';

/** What a request needs beside its own: headers, certificates, agent. */
export type AuthenticatedOptions = Omit<https.RequestOptions, 'headers'> & {
  headers?: Record<string, string>;
};

/** Where a cluster's API is, and how to be let in. */
export interface Login {
  readonly server: URL;
  /** Whether `fresh` can bring other credentials than those that were refused. */
  readonly renewable: boolean;
  authenticate(fresh: boolean): Promise<AuthenticatedOptions>;
}

/**
 * By a kubeconfig, with all that the client library understands of it.
 * @throws CaptureError InvalidConfiguration.
 */
export function kubeconfigLogin(kubeconfig: string): Login {
  const { config, server } = loadKubeconfig(kubeconfig);
  return {
    server,
    renewable: false,
    async authenticate() {
      const options: AuthenticatedOptions = {};
      await config.applyToHTTPSOptions(options);
      return options;
    },
  };
}

/** By a registration: its certificate authority is the only one that is believed. */
export function registeredLogin({ access, credentials }: RegisteredCluster): Login {
  return {
    server: new URL(access.server),
    renewable: true,
    async authenticate(fresh) {
      const proof = await credentials({ fresh });
      return {
        ca: access.certificateAuthority,
        ...(access.tlsServerName === undefined ? {} : { servername: access.tlsServerName }),
        ...('token' in proof
          ? { headers: { authorization: `Bearer ${proof.token}` } }
          : { cert: proof.clientCertificate, key: proof.clientKey }),
      };
    },
  };
}
