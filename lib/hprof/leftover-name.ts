/** What a file's name says; its bytes have the last word. */
export type DumpName =
  /** Of a JVM's own dump, or of one by hand: `java_pid7.hprof`, `java_pid7.hprof.1`, `any.hprof`. */
  | { readonly kind: 'dump' }
  /** Written for a capture of ours whose agent did not come to remove it. */
  | { readonly kind: 'capture'; readonly captureId: string }
  /** `….hprof.gz`, which -XX:HeapDumpGzipLevel writes: not accepted, its records cannot be walked as they lie. */
  | { readonly kind: 'compressed' };

/**
 * Whether a file can be a dump by its name; `undefined` when not, and for segment files (`….hprof.p0`), which belong
 * to their base.
 */
export function dumpNameOf(fileName: string): DumpName | undefined {
  const [, captureId] = /^heapcatch-([a-z0-9]{16,40})-\d{1,10}\.hprof$/.exec(fileName) ?? [];
  if (captureId !== undefined) return { kind: 'capture', captureId };
  if (/\.hprof(?:\.\d{1,3})?$/.test(fileName)) return { kind: 'dump' };
  return fileName.endsWith('.hprof.gz') ? { kind: 'compressed' } : undefined;
}
