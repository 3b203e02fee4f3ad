import { CaptureError } from '../../lib/errors.ts';

/** Pushes the bytes in pieces that end at the cuts, whatever their order; cuts outside are ignored. */
export function pushInPieces(
  sink: { push(chunk: Uint8Array): void },
  bytes: Uint8Array,
  cuts: readonly number[],
): void {
  let start = 0;
  for (const cut of [...cuts].sort((one, other) => one - other)) {
    if (cut <= start || cut >= bytes.length) continue;
    sink.push(bytes.subarray(start, cut));
    start = cut;
  }
  sink.push(bytes.subarray(start));
}

/** The CaptureError that the action throws; anything else fails the test. */
export function errorOf(action: () => void): CaptureError {
  try {
    action();
  } catch (error) {
    if (error instanceof CaptureError) return error;
    throw error;
  }
  throw new Error('nothing was thrown');
}
