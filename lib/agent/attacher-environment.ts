import { CaptureError } from '../errors.ts';

export interface AttacherSettings {
  readonly key: string;
  readonly directories: readonly string[];
  readonly deadlineTime: string;
  /** Of the JVM, as Kubernetes prints it. */
  readonly containerID: string;
}

/**
 * What attacher and uploader share, from the environment of either; `undefined` where there is no key, which is the
 * one agent that sees the JVM itself.
 * @throws CaptureError InvalidConfiguration; the key itself is in no message.
 */
export function attacherSettingsOf(
  env: Readonly<Record<string, string | undefined>>,
): AttacherSettings | undefined {
  const key = env['HEAPCATCH_ATTACHER_KEY'];
  if (key === undefined) return undefined;
  // A path may hold any other separator.
  const directories = env['HEAPCATCH_ATTACHER_DIRECTORIES']?.split('\n') ?? [];
  const deadlineTime = env['HEAPCATCH_DEADLINE_TIME'] ?? '';
  const containerID = env['HEAPCATCH_CONTAINER_ID'] ?? '';
  const refusals: string[] = [];
  if (!/^[0-9a-f]{64}$/.test(key)) {
    refusals.push(
      `HEAPCATCH_ATTACHER_KEY has ${key.length} characters; accepted are 64 hexadecimal digits`,
    );
  }
  if (!(directories.length >= 1 && directories.length <= 16 && directories.every(isPlace))) {
    refusals.push(
      'HEAPCATCH_ATTACHER_DIRECTORIES: accepted are 1 to 16 absolute paths, one a line',
    );
  }
  if (Number.isNaN(Date.parse(deadlineTime))) {
    const got = JSON.stringify(deadlineTime.slice(0, 100));
    refusals.push(`HEAPCATCH_DEADLINE_TIME is ${got}; accepted is a time as of RFC 3339`);
  }
  if (containerID === '' || containerID.length > 200) {
    refusals.push('HEAPCATCH_CONTAINER_ID: accepted are 1 to 200 characters');
  }
  if (refusals.length > 0) {
    throw new CaptureError('InvalidConfiguration', `environment: ${refusals.join('; ')}`);
  }
  return { key, directories, deadlineTime, containerID };
}

function isPlace(path: string): boolean {
  return path.startsWith('/') && path.length <= 4_096;
}
