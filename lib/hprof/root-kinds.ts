/**
 * GC roots by the tag of their sub-record. Source: the "HPROF Agent" binary format, heapDumper.cpp of OpenJDK.
 */
export const rootKinds = {
  0xff: 'unknown',
  0x01: 'jniGlobal',
  0x02: 'jniLocal',
  0x03: 'javaFrame',
  0x04: 'nativeStack',
  0x05: 'stickyClass',
  0x06: 'threadBlock',
  0x07: 'monitorUsed',
  0x08: 'threadObject',
} as const;

export type RootKind = (typeof rootKinds)[keyof typeof rootKinds];

/** Of those that belong to a thread, its serial number follows the identifier. */
export const rootKindsOfThreads: ReadonlySet<RootKind> = new Set([
  'jniLocal',
  'javaFrame',
  'nativeStack',
  'threadBlock',
  'threadObject',
]);

export function rootKindOf(tag: number): RootKind {
  return (rootKinds as Readonly<Record<number, RootKind>>)[tag] ?? 'unknown';
}
