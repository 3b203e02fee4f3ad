import { readFile } from 'node:fs/promises';
import { messageOf } from '../errors.ts';
import type { Logger } from '../log.ts';
import type { ApiTls } from './api.ts';
import type { Time } from './time.ts';

/** How soon a renewed certificate is served: cert-manager renews weeks before the end. */
const checkMilliseconds = 60_000;

/** Paths of PEM files, as a mounted Secret holds them. */
export interface TlsFiles {
  cert: string;
  key: string;
  clientCa?: string;
}

/** @throws Error of Node where a file cannot be read. */
export async function readTls(files: TlsFiles): Promise<ApiTls> {
  const pem = (path: string): Promise<string> => readFile(path, 'utf8');
  return {
    cert: await pem(files.cert),
    key: await pem(files.key),
    ...(files.clientCa === undefined ? {} : { clientCa: await pem(files.clientCa) }),
  };
}

/** Until the abort: hands what the files hold to `renew` whenever it changed. What cannot be read or used leaves the last. */
export async function followTls(options: {
  files: TlsFiles;
  first: ApiTls;
  renew: (tls: ApiTls) => void;
  time: Pick<Time, 'sleep'>;
  signal: AbortSignal;
  log: Logger;
}): Promise<void> {
  const { files, renew, time, signal, log } = options;
  let last = JSON.stringify(options.first);
  for (;;) {
    await time.sleep(checkMilliseconds, signal);
    if (signal.aborted) return;
    try {
      const tls = await readTls(files);
      if (JSON.stringify(tls) === last) continue;
      renew(tls);
      last = JSON.stringify(tls);
      log.info('the certificate of the API was renewed');
    } catch (error) {
      log.warn('the certificate of the API could not be renewed', { error: messageOf(error) });
    }
  }
}
