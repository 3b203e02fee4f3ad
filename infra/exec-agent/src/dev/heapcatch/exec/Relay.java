package dev.heapcatch.exec;

import java.io.BufferedOutputStream;
import java.io.DataOutputStream;
import java.io.FileDescriptor;
import java.io.FileOutputStream;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.Paths;
import java.nio.file.StandardOpenOption;
import java.util.zip.CRC32;

/**
 * Serves what a {@link Spool} holds on its output, in frames (lib/capture/relay-frames.ts), while it grows and to its
 * end. Arguments: the directory, and the offsets in `records` and in the dump from which on it is wanted. The files stay:
 * whoever loses the output asks again from where it was lost. System property heapcatch.relaySeconds ends it.
 */
public final class Relay {
  private static final int magic = 0x48435231;
  private static final int headBytes = 17;
  private static final int recordsStream = 0;
  private static final int dumpStream = 1;
  private static final int endStream = 2;
  private static final int maxFrameBytes = 128 * 1024;
  private static final int pollMillis = 20;
  private static final String[] names = {"records", "dump"};

  private final Path folder;
  private final long[] offsets;
  private final FileChannel[] files = new FileChannel[names.length];
  private final ByteBuffer frame = ByteBuffer.allocate(headBytes + maxFrameBytes);
  // Not System.out, which keeps the loss of its reader to itself.
  private final DataOutputStream out =
      new DataOutputStream(
          new BufferedOutputStream(new FileOutputStream(FileDescriptor.out), 2 * maxFrameBytes));

  private Relay(Path folder, long[] offsets) {
    this.folder = folder;
    this.offsets = offsets;
  }

  public static void main(String[] arguments) throws Exception {
    long[] offsets = {Long.parseLong(arguments[1]), Long.parseLong(arguments[2])};
    long seconds = Long.getLong("heapcatch.relaySeconds", 60);
    long deadline = System.currentTimeMillis() + seconds * 1_000;
    System.exit(new Relay(Paths.get(arguments[0]), offsets).run(deadline) ? 0 : 4);
  }

  private boolean run(long deadline) throws IOException, InterruptedException {
    for (; ; ) {
      // Asked before the look: what came before the end must be seen by this very look.
      boolean ended = Files.exists(folder.resolve("end"));
      if (serve(recordsStream) || serve(dumpStream)) continue;
      if (ended) {
        frame.clear();
        frame.position(headBytes);
        send(endStream, 0);
        out.flush();
        return true;
      }
      out.flush();
      if (System.currentTimeMillis() > deadline || !Files.exists(folder)) return false;
      Thread.sleep(pollMillis);
    }
  }

  /** Returns false when there is nothing more at present. */
  private boolean serve(int stream) throws IOException {
    if (files[stream] == null) {
      Path path = folder.resolve(names[stream]);
      if (!Files.exists(path)) return false;
      files[stream] = FileChannel.open(path, StandardOpenOption.READ);
    }
    frame.clear();
    frame.position(headBytes);
    if (files[stream].read(frame, offsets[stream]) <= 0) return false;
    int length = frame.position() - headBytes;
    send(stream, offsets[stream]);
    offsets[stream] += length;
    return true;
  }

  /** The head, what stands behind it in the buffer, and the checksum of both. */
  private void send(int stream, long offset) throws IOException {
    int end = frame.position();
    frame.putInt(0, magic).put(4, (byte) stream).putLong(5, offset).putInt(13, end - headBytes);
    CRC32 checksum = new CRC32();
    checksum.update(frame.array(), 0, end);
    out.write(frame.array(), 0, end);
    out.writeInt((int) checksum.getValue());
  }
}
