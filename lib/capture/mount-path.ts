/** A mount path as it can be compared and continued: without the slashes at its end that Kubernetes lets it have. */
export function withoutEndSlashes(path: string): string {
  return path.replace(/(?<!\/)\/+$/, '');
}
