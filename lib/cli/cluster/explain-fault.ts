import { messageOf } from '../../errors.ts';

/** By the code of a fault of the connection: what a person can do about it. */
const advice: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'nothing listens there: is the port right, and the API server up?',
  ENOTFOUND: 'the name is not known here: is it right, or known inside of a VPC only?',
  EAI_AGAIN: 'the name could not be asked for: is there a network?',
  EHOSTUNREACH: 'there is no way to it from here: a private endpoint?',
  ENETUNREACH: 'there is no way to it from here: a private endpoint?',
  DEPTH_ZERO_SELF_SIGNED_CERT: 'the server shows a certificate that is not of this authority',
  SELF_SIGNED_CERT_IN_CHAIN: 'the server shows a certificate that is not of this authority',
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: 'the server shows a certificate that is not of this authority',
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: 'the server shows a certificate that is not of this authority',
  CERT_SIGNATURE_FAILURE: 'the server shows a certificate that is not of this authority',
  ERR_TLS_CERT_ALTNAME_INVALID:
    'the certificate has other names: give one of them by --tls-server-name',
  CERT_HAS_EXPIRED: "the server's certificate is over",
};

/** A fault of reaching an API server, with what to do about it. */
export function explainFault(error: unknown): string {
  const message = messageOf(error, 1_000);
  const known = codesOf(error).find((code) => code in advice);
  if (known !== undefined) return `${message} (${advice[known] ?? known})`;
  if (/no (?:connection|answer) within/.test(message)) {
    return `${message} (a private endpoint, or a firewall? From outside of its network: --skip-check)`;
  }
  return message;
}

/** Of an error and its causes, five deep. */
function codesOf(error: unknown): string[] {
  const codes: string[] = [];
  let current = error;
  for (let depth = 0; depth < 5 && current instanceof Error; depth++) {
    const { code } = current as { code?: unknown };
    if (typeof code === 'string') codes.push(code);
    current = current.cause;
  }
  return codes;
}
