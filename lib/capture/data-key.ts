import type { CaptureRecord } from '../claim/capture-record.ts';
import { CaptureError } from '../errors.ts';
import type { Policy } from '../policy/policy.ts';
import type { DataKey, DataKeys } from './ports.ts';

export interface EncryptionDeps {
  /** Absent where the stack has no key for encryption. */
  dataKeys?: DataKeys | undefined;
}

/** Why a capture with this policy must not begin: what is to be encrypted is never stored plain. */
export function encryptionRefusal(
  policy: Policy,
  dataKeys: DataKeys | undefined,
): string | undefined {
  if (!policy.encrypt || dataKeys !== undefined) return undefined;
  return 'heapcatch.dev/encrypt is asked for, and the stack has no key for it (parameter encryptionKeyArn): nothing is stored';
}

/**
 * The data key of a claim; `undefined` where its policy asks for none.
 * @throws CaptureError EncryptionUnavailable, retryable unless the key was refused or is not there.
 */
export async function dataKeyOf(
  dataKeys: DataKeys | undefined,
  record: CaptureRecord,
): Promise<DataKey | undefined> {
  const { policy, captureId, fencingToken } = record;
  if (!policy.encrypt) return undefined;
  const refusal = encryptionRefusal(policy, dataKeys);
  if (dataKeys === undefined) throw new CaptureError('EncryptionUnavailable', refusal ?? '');
  return dataKeys.generate({ captureId, fencingToken });
}
