import type { IncomingMessage } from 'node:http';
import type { BodyFile } from './body-files.ts';
import { invalidArgument } from './s3-fault.ts';
import type { SignedRequest } from './check-signature.ts';

/** A request whose signature was checked. */
export interface S3Request {
  incoming: IncomingMessage;
  method: string;
  bucketName: string;
  /** Decoded; empty when the bucket itself is meant. */
  objectKey: string;
  query: ReadonlyMap<string, string>;
  /** The SHA-256 that the body must have. */
  signedSha256?: string;
}

export interface S3Reply {
  status: number;
  headers?: Readonly<Record<string, string>>;
  body?: string | { files: readonly BodyFile[]; start: number; end: number };
}

/** What a request is about, as it came and before it is believed. */
export interface Target {
  signed: SignedRequest;
  bucketName: string;
  objectKey: string;
  query: ReadonlyMap<string, string>;
}

/** @throws S3Fault InvalidArgument for what is not well encoded. */
export function targetOf(incoming: IncomingMessage): Target {
  const url = incoming.url ?? '/';
  const [path, search = ''] = splitOnce(url, '?');
  try {
    const query = search
      .split('&')
      .filter((pair) => pair !== '')
      .map((pair) => {
        const [name, value = ''] = splitOnce(pair, '=');
        return [decodeURIComponent(name), decodeURIComponent(value)] as const;
      });
    const [bucket, key = ''] = splitOnce(path.slice(1), '/');
    return {
      signed: { method: incoming.method ?? '', path, query, headers: incoming.headers },
      bucketName: decodeURIComponent(bucket),
      objectKey: decodeURIComponent(key),
      query: new Map(query),
    };
  } catch {
    throw invalidArgument('the URL is not well encoded');
  }
}

function splitOnce(text: string, separator: string): [string, string?] {
  const position = text.indexOf(separator);
  return position < 0 ? [text] : [text.slice(0, position), text.slice(position + 1)];
}
