package dev.heapcatch.exec;

/**
 * Size at which part n is sent (lib/capture/part-layout.ts, partBytesAt): the ticket's where its URLs do for what is
 * expected; otherwise that for the first eighth, and for the others the smallest power of two in MiB that suffices.
 * The last parts grow up to 64 MiB, for a dump that is larger than was thought.
 */
final class PartLayout {
  private static final long maxPartBytes = 64L << 20;
  private static final int growingPartCount = 16;
  private static final int doublingPartCount = 4;
  /** The plan makes the part URLs for a tenth more than is expected. */
  private static final double sizeMargin = 1.1;

  private final int partCount;
  private final long firstBytes;
  private final long largeBytes;

  PartLayout(Ticket.HeapDump order) {
    partCount = order.partUrls.size();
    firstBytes = order.partBytes;
    largeBytes = largeBytes((long) (order.expectedBytes * sizeMargin));
  }

  /** @param partNumber 1 for the first. */
  long bytesAt(int partNumber) {
    int index = partNumber - 1;
    long plain = index < partCount / 8 ? firstBytes : largeBytes;
    int step = index - (partCount - Math.min(growingPartCount, partCount / 2));
    if (step < 0) return plain;
    return Math.min(maxPartBytes, plain << (1 + step / doublingPartCount));
  }

  private long largeBytes(long expectedBytes) {
    long firstCount = partCount / 8;
    long restBytes = expectedBytes - firstCount * firstBytes;
    for (long bytes = firstBytes; bytes < maxPartBytes; bytes = nextPowerOfTwo(bytes)) {
      if ((partCount - firstCount) * bytes >= restBytes) return bytes;
    }
    return maxPartBytes;
  }

  private static long nextPowerOfTwo(long bytes) {
    return Math.max(8L << 20, Long.highestOneBit(bytes) << 1);
  }
}
