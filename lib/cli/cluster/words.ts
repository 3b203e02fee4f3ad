import { parseArgs } from 'node:util';
import { clusterNamePattern } from '../../cluster-access.ts';
import { CaptureError } from '../../errors.ts';
import { shown } from '../../validation.ts';

export const usage = `heapcatch cluster add NAME IDENTITY [WHERE] [--skip-check]
heapcatch cluster list
heapcatch cluster show NAME
heapcatch cluster remove NAME

Says to heapcatch's functions how to reach a cluster, and who they are there. NAME is what the forwarder calls the cluster
(HEAPCATCH_CLUSTER_NAME). Before anything is written, the API must answer, and know the identity.

IDENTITY, one of
  --eks NAME                an EKS cluster, by the functions' own IAM roles; --eks-region REGION if it is not the stack's
  --token-file FILE         a service account's token, "-" for stdin; it goes to Secrets Manager
  --client-certificate FILE --client-key FILE
                            a client certificate, PEM; it goes to Secrets Manager
WHERE: by default what EKS says, or else the current context of the kubeconfig
  --context NAME            another context of the kubeconfig; only endpoint and certificate authority are taken of it
  --server URL --certificate-authority FILE
  --tls-server-name NAME    the name in the server's certificate, if it is not the URL's
  --skip-check              for an endpoint that only the functions' VPC can reach

For all: --stage STAGE (default: dev), --region REGION, --profile PROFILE, --json

Exit codes: 0 done, 1 the API does not answer or refuses (nothing was written), or there is no such cluster,
2 not understood or not possible.
`;

export interface Place {
  readonly stage: string;
  readonly region?: string;
  readonly profile?: string;
  readonly json: boolean;
}

export type IdentityOrder =
  | { kind: 'eks'; eksClusterName: string; region?: string }
  | { kind: 'token'; file: string }
  | { kind: 'certificate'; certificateFile: string; keyFile: string };

export interface AddOrder {
  readonly verb: 'add';
  readonly clusterName: string;
  readonly identity: IdentityOrder;
  readonly contextName?: string;
  readonly server?: string;
  readonly authorityFile?: string;
  readonly tlsServerName?: string;
  readonly skipCheck: boolean;
}

export type ClusterOrder = Place &
  (AddOrder | { verb: 'list' } | { verb: 'show' | 'remove'; clusterName: string });

const options = {
  eks: { type: 'string' },
  'eks-region': { type: 'string' },
  'token-file': { type: 'string' },
  'client-certificate': { type: 'string' },
  'client-key': { type: 'string' },
  context: { type: 'string' },
  server: { type: 'string' },
  'certificate-authority': { type: 'string' },
  'tls-server-name': { type: 'string' },
  'skip-check': { type: 'boolean' },
  stage: { type: 'string' },
  region: { type: 'string' },
  profile: { type: 'string' },
  json: { type: 'boolean' },
  help: { type: 'boolean', short: 'h' },
} as const;

type Values = ReturnType<typeof parseArgs<{ options: typeof options }>>['values'];

/** @throws CaptureError InvalidConfiguration, or TypeError of parseArgs, that says what is accepted. */
export function readClusterWords(words: readonly string[]): ClusterOrder | 'help' {
  const { values, positionals } = parseArgs({ args: [...words], allowPositionals: true, options });
  if (values.help === true) return 'help';
  const [verb, name, ...more] = positionals;
  if (more.length > 0) throw invalid(`${shown(more[0])} is too many; accepted is one NAME`);
  const place = placeOf(values);
  if (verb === 'list' && name === undefined) return { ...place, verb };
  if (verb !== 'add' && verb !== 'show' && verb !== 'remove') {
    throw invalid(
      `${shown(verb ?? '')} is not a word of it; accepted are: add, list, show, remove`,
    );
  }
  if (name === undefined || !clusterNamePattern.test(name)) {
    throw invalid(
      `NAME is ${shown(name ?? '')}; accepted are 1 to 100 letters, digits, "-", "_" and "."`,
    );
  }
  if (verb !== 'add') return { ...place, verb, clusterName: name };
  return { ...place, ...addOrderOf(name, values) };
}

function placeOf({ stage = 'dev', region, profile, json = false }: Values): Place {
  if (!/^[A-Za-z0-9-]{1,40}$/.test(stage)) {
    throw invalid(`--stage is ${shown(stage)}; accepted are 1 to 40 letters, digits and "-"`);
  }
  return { stage, json, ...(region && { region }), ...(profile && { profile }) };
}

function addOrderOf(clusterName: string, values: Values): AddOrder {
  const { context, server } = values;
  const authorityFile = values['certificate-authority'];
  const tlsServerName = values['tls-server-name'];
  if ((server === undefined) !== (authorityFile === undefined)) {
    throw invalid('--server and --certificate-authority go together');
  }
  if (server !== undefined && context !== undefined) {
    throw invalid('--server and --context both say where the cluster is; accepted is one');
  }
  return {
    verb: 'add',
    clusterName,
    identity: identityOf(values),
    skipCheck: values['skip-check'] ?? false,
    ...(context !== undefined && { contextName: context }),
    ...(server !== undefined && { server }),
    ...(authorityFile !== undefined && { authorityFile }),
    ...(tlsServerName !== undefined && { tlsServerName }),
  };
}

function identityOf(values: Values): IdentityOrder {
  const { eks } = values;
  const file = values['token-file'];
  const certificateFile = values['client-certificate'];
  const keyFile = values['client-key'];
  if ([eks, file, certificateFile ?? keyFile].filter((one) => one !== undefined).length !== 1) {
    throw invalid(
      'accepted is one of --eks, --token-file and --client-certificate with --client-key',
    );
  }
  const region = values['eks-region'];
  if (eks !== undefined) {
    return { kind: 'eks', eksClusterName: eks, ...(region !== undefined && { region }) };
  }
  if (region !== undefined) throw invalid('--eks-region says nothing without --eks');
  if (file !== undefined) return { kind: 'token', file };
  if (certificateFile === undefined || keyFile === undefined) {
    throw invalid('--client-certificate and --client-key go together');
  }
  return { kind: 'certificate', certificateFile, keyFile };
}

function invalid(message: string): CaptureError {
  return new CaptureError('InvalidConfiguration', message);
}
