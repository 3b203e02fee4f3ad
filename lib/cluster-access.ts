import { X509Certificate } from 'node:crypto';
import * as z from 'zod';
import { CaptureError } from './errors.ts';
import { isJsonObject, validate } from './validation.ts';

/** The rule of a Signal's clusterName, which is within that of parameter and secret names. */
export const clusterNamePattern = /^[A-Za-z0-9](?:[-_.A-Za-z0-9]{0,98}[A-Za-z0-9])?$/;

const certificatePattern =
  /-----BEGIN CERTIFICATE-----[\w+/=\s]{1,16384}?-----END CERTIFICATE-----/g;
const maxCertificateCount = 20;

/** A certificate authority takes more than the whole parameter in no case. */
const maxAuthorityLength = 7 * 1024;

/** Whether a text is nothing but PEM certificates that can be read, 1 to 20 of them. */
export function isCertificates(text: string): boolean {
  const certificates = text.match(certificatePattern) ?? [];
  if (certificates.length < 1 || certificates.length > maxCertificateCount) return false;
  try {
    return certificates.every((pem) => new X509Certificate(pem).raw.length > 0);
  } catch {
    return false;
  }
}

function isServer(text: string): boolean {
  if (!URL.canParse(text)) return false;
  const { protocol, username, password, search, hash } = new URL(text);
  return protocol === 'https:' && `${username}${password}${search}${hash}` === '';
}

const identitySchema = z.discriminatedUnion('kind', [
  z.strictObject({
    kind: z.literal('eks'),
    eksClusterName: z
      .string()
      .regex(/^[A-Za-z0-9][\w-]{0,99}$/, 'accepted is the name of an EKS cluster'),
    region: z.string().regex(/^[a-z]{2}(?:-[a-z]{2,10}){1,3}-\d$/, 'accepted is an AWS region'),
  }),
  z.strictObject({
    kind: z.literal('secret'),
    /** Name of a secret in Secrets Manager, in the stack's own region. */
    secretName: z.string().regex(/^[\w/+=.@-]{1,512}$/, 'accepted is the name of a secret'),
    /** When what it held at the registration ends, if that is known. */
    expireTime: z.iso.datetime().optional(),
  }),
]);

const accessSchema = z.strictObject({
  schemaVersion: z.literal(1),
  server: z.string().max(2_048).refine(isServer, 'accepted is an https URL without query and user'),
  certificateAuthority: z
    .string()
    .max(maxAuthorityLength)
    .refine(isCertificates, 'accepted are 1 to 20 PEM certificates, 7 KiB at most'),
  /** The name in the server's certificate, if it is not the URL's. */
  tlsServerName: z
    .string()
    .regex(/^[A-Za-z0-9.-]{1,253}$/, 'accepted is a host name')
    .optional(),
  identity: identitySchema,
  registeredTime: z.iso.datetime(),
});

/** How a registered cluster is reached: no secret is in it. */
export type ClusterAccess = z.output<typeof accessSchema>;

/** What proves to the API who is there; both secret. */
export type ClusterCredentials =
  { readonly token: string } | { readonly clientCertificate: string; readonly clientKey: string };

/**
 * Credentials as they are good now; `fresh` after the API has refused the last ones.
 * @throws CaptureError InvalidConfiguration, ClusterUnavailable (retryable).
 */
export type CredentialsSource = (options?: { fresh?: boolean }) => Promise<ClusterCredentials>;

/** A registered cluster, and who one is there. */
export interface RegisteredCluster {
  readonly access: ClusterAccess;
  readonly credentials: CredentialsSource;
}

/** @throws CaptureError InvalidConfiguration naming field, value and what is accepted. */
export function validateClusterAccess(input: unknown, what: string): ClusterAccess {
  return validate(accessSchema, input, 'InvalidConfiguration', what);
}

/**
 * What stands in a cluster's parameter: an access record, or a whole kubeconfig, which has no schemaVersion.
 * @throws CaptureError InvalidConfiguration when it is a record, and a faulty one.
 */
export function parseRegistration(
  text: string,
  clusterName: string,
): { access: ClusterAccess } | { kubeconfig: string } {
  let input: unknown;
  try {
    input = JSON.parse(text);
  } catch {
    return { kubeconfig: text };
  }
  if (!isJsonObject(input) || !('schemaVersion' in input)) return { kubeconfig: text };
  return { access: validateClusterAccess(input, `the registration of cluster ${clusterName}`) };
}

const maxSecretLength = 64 * 1024;

/**
 * What a cluster's secret holds: JSON with `token`, or with `clientCertificate` and `clientKey` (PEM); or a bare token.
 * @throws CaptureError InvalidConfiguration that shows nothing of it.
 */
export function parseClusterSecret(text: string, secretName: string): ClusterCredentials {
  const trimmed = text.trim();
  const secret = trimmed.startsWith('{') ? jsonOf(trimmed) : { token: trimmed };
  if (trimmed.length <= maxSecretLength && isJsonObject(secret)) {
    const { token, clientCertificate, clientKey } = secret;
    if (typeof token === 'string' && /^[\w.~+/=-]{1,16384}$/.test(token)) return { token };
    if (typeof clientCertificate === 'string' && typeof clientKey === 'string') {
      if (isCertificates(clientCertificate) && clientKey.includes('PRIVATE KEY-----')) {
        return { clientCertificate, clientKey };
      }
    }
  }
  throw new CaptureError(
    'InvalidConfiguration',
    `secret ${secretName} holds no credentials; accepted are a token, {"token":"…"} and {"clientCertificate":"PEM","clientKey":"PEM"}`,
  );
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined;
  }
}
