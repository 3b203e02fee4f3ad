import { stat } from 'node:fs/promises';

/** Bytes of the file; 0 when there is none. */
export async function fileAt(path: string): Promise<number> {
  return (await stat(path).catch(() => undefined))?.size ?? 0;
}

export async function fileMissing(path: string): Promise<boolean> {
  return (await stat(path).catch(() => undefined)) === undefined;
}
