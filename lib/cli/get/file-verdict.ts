import type { IndexEntry } from '../../dump-index/index-entry.ts';
import type { Artifact } from '../../policy/policy.ts';
import { sizeWords } from '../quantities.ts';
import type { Downloaded } from './download.ts';
import type { UnpackedDump } from './unpack-dump.ts';

/** What one file of a capture turned out to be. */
export interface FileVerdict {
  readonly artifact: Artifact;
  /** Absent when there is no file. */
  readonly path?: string;
  /** It is as whole as the index entry says. */
  readonly holds: boolean;
  readonly text: string;
  /** Of a heap dump that was unpacked. */
  readonly dump?: UnpackedDump;
}

/** Judges a heap dump by what its index entry promises. */
export function dumpVerdict({
  entry,
  brought,
  unpacked,
  path,
}: {
  readonly entry: IndexEntry;
  readonly brought: Downloaded;
  readonly unpacked: UnpackedDump;
  readonly path: string;
}): FileVerdict {
  const complete = entry.state === 'complete';
  const promised = entry.objects.heapDump;
  const faults = [
    ...(brought.checksum === 'differs' ? ['its checksums are WRONG'] : []),
    ...(brought.checksum === 'unknown' && complete
      ? ['its parts have NO CHECKSUMS, though it is complete']
      : []),
    ...(unpacked.ended ? [] : [`its record chain is BROKEN: ${unpacked.fault ?? 'no end record'}`]),
    ...(complete && promised?.rawBytes !== undefined && promised.rawBytes !== unpacked.rawBytes
      ? [`it has ${unpacked.rawBytes} bytes and NOT the ${promised.rawBytes} of its index entry`]
      : []),
    ...(complete && unpacked.account?.whole === false
      ? ['frames of it were TAKEN AWAY, by the account that the agent encrypted with them']
      : []),
  ];
  const size = `${sizeWords(unpacked.rawBytes)}, ${unpacked.recordCount} records`;
  const known =
    brought.checksum === 'matches' ? 'all checksums right, ' : 'no checksums of its parts, ';
  const resumed =
    brought.resumedBytes === 0 ? '' : `; ${sizeWords(brought.resumedBytes)} of it were there`;
  const text =
    faults.length === 0
      ? `${size}, ${known}record chain unbroken to its end${complete ? '' : ` (${entry.state})`}${resumed}`
      : `${size}; ${faults.join('; ')}${resumed}`;
  return { artifact: 'heapDump', path, holds: faults.length === 0, text, dump: unpacked };
}
