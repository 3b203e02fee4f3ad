import { timingSafeEqual } from 'node:crypto';
import { deriveSigningKey, signRequest } from '../../aws/signature-v4.ts';
import { S3Fault } from './s3-fault.ts';

export interface SignedRequest {
  method: string;
  /** As it came, encoded. */
  path: string;
  query: readonly (readonly [name: string, value: string])[];
  /** Names in lower case. */
  headers: Readonly<Record<string, string | string[] | undefined>>;
}

export interface AcceptedCredentials {
  accessKeyId: string;
  secretAccessKey: string;
  /** Their session is over, as that of a role's credentials is after some hours. */
  ended?: boolean;
}

export interface Verifier {
  accepted: readonly AcceptedCredentials[];
  region: string;
  now: Date;
}

const maxSkewMillis = 15 * 60 * 1000;
const maxExpiresSeconds = 604_800;

interface Claim {
  credential: string;
  longDate: string;
  signedHeaders: string;
  signature: string;
  payloadHash: string;
  expiresSeconds?: number;
}

/**
 * Checks a Signature Version 4, of a presigned URL or of headers, as S3 does: key, scope, time, every x-amz- header
 * signed, signature.
 * @returns the SHA-256 that the body must have, hexadecimal; `undefined` when it is not signed.
 * @throws S3Fault with the code of S3.
 */
export function checkSignature(request: SignedRequest, verifier: Verifier): string | undefined {
  const claim = claimOf(request);
  if (claim === undefined) throw denied('Access Denied');
  const [accessKeyId, date = '', region, service, end] = claim.credential.split('/');
  const credentials = verifier.accepted.find((one) => one.accessKeyId === accessKeyId);
  if (credentials === undefined) {
    const message = 'The AWS Access Key Id you provided does not exist in our records.';
    throw new S3Fault(403, 'InvalidAccessKeyId', message);
  }
  if (credentials.ended === true) {
    throw new S3Fault(400, 'ExpiredToken', 'The provided token has expired.');
  }
  if (region !== verifier.region || service !== 's3' || end !== 'aws4_request') {
    const message = `the scope must be ${verifier.region}/s3/aws4_request`;
    throw new S3Fault(400, 'AuthorizationHeaderMalformed', message);
  }
  checkTime(claim, date, verifier.now);
  const scope = { date, region, service };
  const canonical = {
    method: request.method,
    path: canonicalPath(request.path),
    query: canonicalQuery(request.query),
    headers: signedHeadersOf(request, claim.signedHeaders),
    payloadHash: claim.payloadHash,
  };
  const key = deriveSigningKey(credentials.secretAccessKey, scope);
  const expected = signRequest(canonical, claim.longDate, scope, key);
  if (!sameText(expected, claim.signature)) {
    const message =
      'The request signature we calculated does not match the signature you provided. Check your key and signing method.';
    throw new S3Fault(403, 'SignatureDoesNotMatch', message);
  }
  if (claim.payloadHash === 'UNSIGNED-PAYLOAD') return undefined;
  if (/^[0-9a-f]{64}$/.test(claim.payloadHash)) return claim.payloadHash;
  throw new S3Fault(501, 'NotImplemented', 'bodies signed in chunks are not part of this stand-in');
}

function claimOf(request: SignedRequest): Claim | undefined {
  const query = new Map(request.query);
  const header = (name: string): string => headerText(request.headers[name]);
  if (query.has('X-Amz-Signature')) {
    const parameter = (name: string): string => query.get(name) ?? '';
    if (parameter('X-Amz-Algorithm') !== 'AWS4-HMAC-SHA256')
      throw malformedQuery('X-Amz-Algorithm');
    const expires = parameter('X-Amz-Expires');
    const expiresSeconds = /^[0-9]{1,6}$/.test(expires) ? Number(expires) : 0;
    if (expiresSeconds < 1 || expiresSeconds > maxExpiresSeconds)
      throw malformedQuery('X-Amz-Expires');
    return {
      credential: parameter('X-Amz-Credential'),
      longDate: parameter('X-Amz-Date'),
      signedHeaders: parameter('X-Amz-SignedHeaders'),
      signature: parameter('X-Amz-Signature'),
      payloadHash: 'UNSIGNED-PAYLOAD',
      expiresSeconds,
    };
  }
  const authorization = header('authorization');
  if (authorization === '') return undefined;
  const found =
    /^AWS4-HMAC-SHA256 Credential=([^,\s]+),\s*SignedHeaders=([^,\s]+),\s*Signature=([0-9a-f]{64})$/.exec(
      authorization,
    );
  const [, credential, signedHeaders, signature] = found ?? [];
  if (credential === undefined || signedHeaders === undefined || signature === undefined) {
    throw new S3Fault(400, 'AuthorizationHeaderMalformed', 'The authorization header is malformed');
  }
  const payloadHash = header('x-amz-content-sha256');
  return { credential, longDate: header('x-amz-date'), signedHeaders, signature, payloadHash };
}

function checkTime(claim: Claim, date: string, now: Date): void {
  const [, year, month, day, hour, minute, second] =
    /^([0-9]{4})([0-9]{2})([0-9]{2})T([0-9]{2})([0-9]{2})([0-9]{2})Z$/.exec(claim.longDate) ?? [];
  const signedMillis = Date.parse(
    `${year ?? ''}-${month ?? ''}-${day ?? ''}T${hour ?? ''}:${minute ?? ''}:${second ?? ''}Z`,
  );
  if (Number.isNaN(signedMillis) || !claim.longDate.startsWith(date)) {
    throw denied('the time of signing is absent or not in the scope');
  }
  if (claim.expiresSeconds === undefined) {
    if (Math.abs(now.getTime() - signedMillis) <= maxSkewMillis) return;
    const message = "The difference between the request time and the server's time is too large.";
    throw new S3Fault(403, 'RequestTimeTooSkewed', message);
  }
  if (signedMillis - now.getTime() > maxSkewMillis) throw denied('Request is not valid yet');
  if (now.getTime() > signedMillis + claim.expiresSeconds * 1000)
    throw denied('Request has expired');
}

function signedHeadersOf(request: SignedRequest, names: string): (readonly [string, string])[] {
  const signed = names.split(';');
  const isSigned = new Set(signed);
  const unsigned = Object.keys(request.headers).filter(
    (name) => (name.startsWith('x-amz-') || name === 'host') && !isSigned.has(name),
  );
  if (unsigned.length > 0) {
    throw denied(
      `There were headers present in the request which were not signed: ${unsigned.join(', ')}`,
    );
  }
  return signed.map((name) => [name, headerText(request.headers[name])] as const);
}

function headerText(value: string | string[] | undefined): string {
  const text = Array.isArray(value) ? value.join(',') : (value ?? '');
  return text.trim().replace(/ +/g, ' ');
}

/** Decoded and encoded again, since a client may have encoded more or less than the signer. */
function canonicalPath(path: string): string {
  return path
    .split('/')
    .map((segment) => encoded(decodeURIComponent(segment)))
    .join('/');
}

function canonicalQuery(query: SignedRequest['query']): string {
  return query
    .filter(([name]) => name !== 'X-Amz-Signature')
    .map(([name, value]) => `${encoded(name)}=${encoded(value)}`)
    .sort()
    .join('&');
}

/** RFC 3986: all but the unreserved characters. */
function encoded(text: string): string {
  return encodeURIComponent(text).replace(
    /[!'()*]/g,
    (character) => `%${character.charCodeAt(0).toString(16).toUpperCase()}`,
  );
}

function sameText(one: string, other: string): boolean {
  const [left, right] = [Buffer.from(one), Buffer.from(other)];
  return left.length === right.length && timingSafeEqual(left, right);
}

function denied(message: string): S3Fault {
  return new S3Fault(403, 'AccessDenied', message);
}

function malformedQuery(name: string): S3Fault {
  return new S3Fault(400, 'AuthorizationQueryParametersError', `${name} is absent or out of range`);
}
