package dev.heapcatch.exec;

import java.io.EOFException;
import java.io.IOException;
import java.io.OutputStream;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.security.MessageDigest;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Semaphore;
import java.util.concurrent.TimeUnit;

/**
 * Sends ranges of the dump file as parts of stored zstd frames: raw blocks, no compression, no checksum, since a JRE
 * has no zstd (RFC 8878, sections 3.1.1.1 and 3.1.1.2). A part is never held in memory: it is read from the file, once
 * for its checksum and once for each try.
 */
final class Parts {
  static final long minPartBytes = 5L * 1024 * 1024;
  private static final int maxBlockBytes = 128 * 1024;
  private static final int rawBlock = 0;
  private static final int runLengthBlock = 1;
  private static final int concurrentPuts = 2;

  private final Ticket.HeapDump order;
  private final Progress progress;
  private final long deadline;
  private final FileChannel file;
  private final PartLayout layout;
  private final Map<Integer, byte[]> checksums = new TreeMap<>();
  private final Map<Integer, Map<String, Object>> stored = new TreeMap<>();
  private final Semaphore free = new Semaphore(concurrentPuts);
  private final ExecutorService puts =
      Executors.newFixedThreadPool(
          concurrentPuts, task -> new Thread(null, task, "put", 256 * 1024));
  private volatile Fault failure;

  int nextPartNumber = 1;
  long compressedBytes;

  Parts(Ticket.HeapDump order, FileChannel file, Progress progress, long deadline) {
    this.order = order;
    this.layout = new PartLayout(order);
    this.file = file;
    this.progress = progress;
    this.deadline = deadline;
  }

  /** Size at which the next part is sent. */
  long targetBytes() {
    return layout.bytesAt(nextPartNumber);
  }

  /** The last URL is for the part that ends the dump. */
  boolean mayCut() {
    return nextPartNumber < order.partUrls.size();
  }

  int storedCount() {
    synchronized (stored) {
      return stored.size();
    }
  }

  List<Object> storedParts() {
    synchronized (stored) {
      return new ArrayList<>(stored.values());
    }
  }

  /** MD5 of the MD5s of all parts that were sent, and their number (lib/capture/composite-md5.ts). */
  String compositeMd5() {
    MessageDigest whole = Http.digest("MD5");
    for (byte[] checksum : checksums.values()) whole.update(checksum);
    return Http.hex(whole.digest()) + "-" + checksums.size();
  }

  /**
   * Sends bytes of the file, then what stands in `tail`. Waits while two parts are under way.
   * @param remainingBytes of the record that the part ends in; 0 on a boundary.
   * @throws Fault what an earlier part's upload threw.
   */
  void send(long start, long end, byte[] tail, long remainingBytes, boolean isLast)
      throws Fault, InterruptedException, IOException {
    int partNumber = nextPartNumber++;
    Http.Body body = new PartBody(start, end, tail);
    MessageDigest md5 = Http.digest("MD5");
    body.writeTo(new DigestingStream(md5));
    byte[] checksum = md5.digest();
    checksums.put(partNumber, checksum);
    compressedBytes += body.length();
    if (isLast && body.length() >= minPartBytes) progress.announceFinalPart(partNumber);
    while (!free.tryAcquire(200, TimeUnit.MILLISECONDS)) throwFailure();
    throwFailure();
    puts.execute(() -> store(partNumber, body, checksum, remainingBytes));
  }

  private void store(int partNumber, Http.Body body, byte[] md5, long remainingBytes) {
    try {
      if (remainingBytes > 0) progress.announceOpenPart(partNumber, remainingBytes);
      String eTag = Http.put(order.partUrls.get(partNumber - 1), body, md5, deadline);
      Map<String, Object> part = new LinkedHashMap<>();
      part.put("partNumber", partNumber);
      part.put("bytes", body.length());
      part.put("md5", Http.hex(md5));
      part.put("eTag", eTag);
      synchronized (stored) {
        stored.put(partNumber, part);
      }
      progress.partStored(partNumber, body.length());
    } catch (Throwable thrown) {
      if (failure == null) failure = Fault.of(thrown, "UploadFailed", "part " + partNumber);
    } finally {
      free.release();
    }
  }

  void throwFailure() throws Fault {
    if (failure != null) throw failure;
  }

  /** Waits for the parts that are under way, whatever becomes of them. */
  void settle() throws InterruptedException {
    puts.shutdown();
    long left = deadline - System.currentTimeMillis() + 2_000;
    puts.awaitTermination(Math.max(1, left), TimeUnit.MILLISECONDS);
  }

  /** The end of a dump: zeros that fill a cut record up, and the end record alone in the last frame. */
  static byte[] tailOf(long zeroBytes, int blockBytes) {
    ByteBuffer tail = ByteBuffer.allocate(tailBytes(zeroBytes, blockBytes));
    for (long left = zeroBytes; left > 0; ) {
      int frameBytes = (int) Math.min(left, blockBytes);
      tail.put(frameHeader(frameBytes));
      for (int at = 0; at < frameBytes; at += maxBlockBytes) {
        int block = Math.min(maxBlockBytes, frameBytes - at);
        tail.put(blockHeader(block, runLengthBlock, at + block == frameBytes)).put((byte) 0);
      }
      left -= frameBytes;
    }
    tail.put(frameHeader(RecordChain.endRecordBytes));
    tail.put(blockHeader(RecordChain.endRecordBytes, rawBlock, true));
    tail.put(new byte[] {0x2c, 0, 0, 0, 0, 0, 0, 0, 0});
    return tail.array();
  }

  static final int endFrameBytes = tailBytes(0, 1);

  private static int tailBytes(long zeroBytes, int blockBytes) {
    long frames = (zeroBytes + blockBytes - 1) / blockBytes;
    long blocks = frames == 0 ? 0 : (frames - 1) * blocksOf(blockBytes);
    long lastFrame = zeroBytes - Math.max(0, frames - 1) * blockBytes;
    blocks += blocksOf(lastFrame);
    return (int) (frames * 9 + blocks * 4 + 9 + 3 + RecordChain.endRecordBytes);
  }

  private static long blocksOf(long frameBytes) {
    return (frameBytes + maxBlockBytes - 1) / maxBlockBytes;
  }

  /** A frame of one segment whose content size is known, four bytes wide; no checksum, no dictionary. */
  private static byte[] frameHeader(int contentBytes) {
    ByteBuffer header = ByteBuffer.allocate(9).order(java.nio.ByteOrder.LITTLE_ENDIAN);
    return header.putInt(0xFD2FB528).put((byte) 0xA0).putInt(contentBytes).array();
  }

  private static byte[] blockHeader(int contentBytes, int type, boolean isLast) {
    int header = (contentBytes << 3) | (type << 1) | (isLast ? 1 : 0);
    return new byte[] {(byte) header, (byte) (header >> 8), (byte) (header >> 16)};
  }

  /** Frames of blockBytes each, made while they are written. */
  private final class PartBody implements Http.Body {
    private final long start;
    private final long end;
    private final byte[] tail;

    PartBody(long start, long end, byte[] tail) {
      this.start = start;
      this.end = end;
      this.tail = tail;
    }

    @Override
    public long length() {
      long bytes = end - start;
      long wholeFrames = bytes / order.blockBytes;
      long rest = bytes % order.blockBytes;
      long blocks = wholeFrames * blocksOf(order.blockBytes) + blocksOf(rest);
      return bytes + (wholeFrames + (rest > 0 ? 1 : 0)) * 9 + blocks * 3 + tail.length;
    }

    @Override
    public void writeTo(OutputStream out) throws IOException {
      byte[] buffer = new byte[maxBlockBytes];
      for (long at = start; at < end; ) {
        int frameBytes = (int) Math.min(order.blockBytes, end - at);
        out.write(frameHeader(frameBytes));
        for (int done = 0; done < frameBytes; ) {
          int block = Math.min(maxBlockBytes, frameBytes - done);
          out.write(blockHeader(block, rawBlock, done + block == frameBytes));
          readFully(buffer, block, at + done);
          out.write(buffer, 0, block);
          done += block;
        }
        at += frameBytes;
      }
      out.write(tail);
    }

    private void readFully(byte[] buffer, int length, long position) throws IOException {
      ByteBuffer target = ByteBuffer.wrap(buffer, 0, length);
      while (target.hasRemaining()) {
        if (file.read(target, position + target.position()) < 0) {
          throw new EOFException("the dump file became shorter");
        }
      }
    }
  }

  private static final class DigestingStream extends OutputStream {
    private final MessageDigest digest;

    DigestingStream(MessageDigest digest) {
      this.digest = digest;
    }

    @Override
    public void write(int value) {
      write(new byte[] {(byte) value}, 0, 1);
    }

    @Override
    public void write(byte[] bytes, int start, int length) {
      digest.update(bytes, start, length);
    }
  }
}
