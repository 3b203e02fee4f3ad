import { createHash, createHmac } from 'node:crypto';

// Signature Version 4, the parts that are the same for a signer and a verifier:
// https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html

/** What a signature is valid for: `<date>/<region>/<service>/aws4_request`. */
export interface SigningScope {
  /** YYYYMMDD. */
  date: string;
  region: string;
  service: string;
}

export interface CanonicalRequest {
  method: string;
  /** Encoded once, as it stands in the URL. */
  path: string;
  /** Encoded and sorted, without the signature. */
  query: string;
  /** Sorted, names in lower case, values trimmed. */
  headers: readonly (readonly [name: string, value: string])[];
  /** Hexadecimal SHA-256 of the body, or UNSIGNED-PAYLOAD. */
  payloadHash: string;
}

/** The key of one day, region and service; four HMACs, so derive it once for many signatures. */
export function deriveSigningKey(secretAccessKey: string, scope: SigningScope): Buffer {
  const steps = [scope.date, scope.region, scope.service, 'aws4_request'];
  return steps.reduce<Buffer>(
    (key, step) => hmac(key, step),
    Buffer.from(`AWS4${secretAccessKey}`),
  );
}

/** @param longDate YYYYMMDDTHHMMSSZ. @returns 64 hexadecimal digits. */
export function signRequest(
  request: CanonicalRequest,
  longDate: string,
  scope: SigningScope,
  signingKey: Buffer,
): string {
  const { method, path, query, headers, payloadHash } = request;
  const headerLines = headers.map(([name, value]) => `${name}:${value}\n`).join('');
  const signedHeaders = headers.map(([name]) => name).join(';');
  const canonical = [method, path, query, headerLines, signedHeaders, payloadHash].join('\n');
  const scopeText = `${scope.date}/${scope.region}/${scope.service}/aws4_request`;
  const digest = createHash('sha256').update(canonical).digest('hex');
  const text = ['AWS4-HMAC-SHA256', longDate, scopeText, digest].join('\n');
  return hmac(signingKey, text).toString('hex');
}

function hmac(key: Buffer, text: string): Buffer {
  return createHmac('sha256', key).update(text).digest();
}
