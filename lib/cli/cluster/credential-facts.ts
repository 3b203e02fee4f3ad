import { X509Certificate } from 'node:crypto';
import type { ClusterCredentials } from '../../cluster-access.ts';
import { isJsonObject } from '../../validation.ts';

/** What can be read of credentials without asking anybody, and may be shown. */
export interface CredentialFacts {
  /** A service account's token that says none does not end. */
  readonly expireTime?: string;
}

/** A token that is not a JWT says nothing. Nothing here verifies it: that is the API server's. */
export function factsOfCredentials(credentials: ClusterCredentials): CredentialFacts {
  const end =
    'token' in credentials
      ? endOfToken(credentials.token)
      : new Date(new X509Certificate(credentials.clientCertificate).validTo).getTime();
  if (end === undefined || !Number.isFinite(end)) return {};
  return { expireTime: new Date(end).toISOString() };
}

/** Of a date beyond what a Date can hold nothing is said. */
const maxEpochSeconds = 253_402_300_799;

function endOfToken(token: string): number | undefined {
  const [, payload] = token.split('.');
  if (payload === undefined) return undefined;
  try {
    const claims: unknown = JSON.parse(Buffer.from(payload, 'base64url').toString('utf8'));
    if (!isJsonObject(claims) || typeof claims['exp'] !== 'number') return undefined;
    return claims['exp'] <= maxEpochSeconds ? claims['exp'] * 1_000 : undefined;
  } catch {
    return undefined;
  }
}
