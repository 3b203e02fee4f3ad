/** An object is at most 1.5 MiB in etcd; as JSON, with escapes and managed fields, it can be some times larger. */
export const maxLineBytes = 8 * 1024 * 1024;

/**
 * Cuts a byte stream into JSON values, one a line.
 * @throws RangeError when a line is longer than the bound, SyntaxError when it is not JSON.
 */
export async function* readJsonLines(
  chunks: AsyncIterable<Buffer>,
  maxBytes = maxLineBytes,
): AsyncGenerator {
  let pending: Buffer[] = [];
  let pendingBytes = 0;
  for await (const chunk of chunks) {
    let start = 0;
    for (let end = chunk.indexOf(10); end !== -1; end = chunk.indexOf(10, start)) {
      pending.push(chunk.subarray(start, end));
      pendingBytes += end - start;
      if (pendingBytes > maxBytes) throw new RangeError(`a line is longer than ${maxBytes} bytes`);
      const line = Buffer.concat(pending).toString('utf8');
      pending = [];
      pendingBytes = 0;
      start = end + 1;
      if (line.trim() !== '') yield JSON.parse(line) as unknown;
    }
    pending.push(chunk.subarray(start));
    pendingBytes += chunk.length - start;
    if (pendingBytes > maxBytes) throw new RangeError(`a line is longer than ${maxBytes} bytes`);
  }
}
