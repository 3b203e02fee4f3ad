package dev.heapcatch.exec;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.StandardOpenOption;
import java.time.Instant;
import java.util.LinkedHashMap;
import java.util.Map;

/**
 * Lets the JVM write a dump into a checked place, and stores it while it grows (lib/agent/heap-dump.ts, follow.ts).
 * Judges by the bytes alone: the JVM's answer only says when no more will come. Segment files of JDK 22 and later are
 * not read: they reach the dump by the JVM's own merge.
 */
final class HeapDump {
  private static final int pollMillis = 10;
  private static final int lookMillis = 500;
  private static final long stallMillis = 60_000;
  private static final int readBytes = 256 * 1024;

  private final Ticket.HeapDump order;
  private final DumpPlace place;
  private final Jvm jvm;
  private final Progress progress;
  private final Map<String, Object> times;
  private final long stopTime;
  private final long partsDeadline;
  private final RecordChain chain = new RecordChain();
  /** Null when what the JVM wrote is relayed: then it only has to lie there. */
  private Parts parts;
  private long partStart;
  /** The record that the last part ended in, if it ended in one. */
  private boolean recordIsOpen;

  /** Null while the JVM has not answered. */
  private volatile String words;
  private volatile boolean replyFailed;

  HeapDump(
      Ticket.HeapDump order, DumpPlace place, Jvm jvm, Progress progress, Map<String, Object> times,
      long stopTime, long partsDeadline) {
    this.order = order;
    this.place = place;
    this.jvm = jvm;
    this.progress = progress;
    this.times = times;
    this.stopTime = stopTime;
    this.partsDeadline = partsDeadline;
  }

  /** What the manifest says of the dump; null when none is stored whole. */
  Map<String, Object> result;
  /** Why there is none, or why it is cut. */
  Fault fault;

  int storedPartCount() {
    return parts == null ? 0 : parts.storedCount();
  }

  void save() throws InterruptedException {
    note("dumpStartTime");
    Thread asking = new Thread(null, this::ask, "dump", 256 * 1024);
    asking.setDaemon(true);
    asking.start();
    try {
      try (FileChannel file = openFile()) {
        if (file == null) return;
        if (!order.partUrls.isEmpty()) parts = new Parts(order, file, progress, partsDeadline);
        try {
          fault = follow(file);
          note("lastByteTime");
          if (parts != null) finish();
        } finally {
          if (parts != null) parts.settle();
        }
      }
    } catch (Fault | IOException failed) {
      fault = Fault.of(failed, "DumpFailed", "the dump could not be followed");
    }
  }

  private void ask() {
    try {
      String command = "GC.heap_dump -all '" + place.file.getPath() + "'";
      long timeoutMillis = Math.max(1_000, partsDeadline - System.currentTimeMillis());
      String text = jvm.run(command, timeoutMillis, 4_096).text();
      words = text.replaceAll("\\s+", " ").trim();
    } catch (Fault failed) {
      replyFailed = true;
      words = failed.getMessage();
    } catch (InterruptedException | RuntimeException stopped) {
      replyFailed = true;
      words = "the question was cut off";
    }
  }

  /** Null, with the fault, when the JVM answered or ended without creating the file. */
  private FileChannel openFile() throws IOException, InterruptedException {
    long deadline = Math.min(stopTime, System.currentTimeMillis() + stallMillis);
    for (; ; ) {
      // Asked before the look: what the JVM wrote before it answered must be seen by this very look.
      String answer = words;
      boolean jvmRuns = jvm.runs();
      if (place.file.exists()) {
        return FileChannel.open(place.file.toPath(), StandardOpenOption.READ);
      }
      boolean late = System.currentTimeMillis() > deadline;
      if (answer != null || !jvmRuns || late) {
        String why =
            !jvmRuns
                ? "the JVM ended before it had begun its dump"
                : "the JVM wrote no dump file" + (answer == null ? " in time" : "; it said " + cut(answer));
        fault = new Fault("DumpFailed", why);
        return null;
      }
      Thread.sleep(pollMillis);
    }
  }

  /** Reads and sends until nothing more comes. Returns why the dump is not whole, or null. */
  private Fault follow(FileChannel file) throws Fault, IOException, InterruptedException {
    ByteBuffer buffer = ByteBuffer.allocate(readBytes);
    boolean jvmEnded = false;
    long lastGrowth = System.currentTimeMillis();
    long lastLook = 0;
    long segmentBytes = 0;
    for (; ; ) {
      boolean last = jvmEnded || (words != null && !replyFailed);
      if (parts != null) parts.throwFailure();
      long now = System.currentTimeMillis();
      if (now > stopTime) {
        return new Fault("DeadlineExceeded", "stopped before the capture's deadline: the dump was not at its end");
      }
      buffer.clear();
      int read = file.read(buffer, chain.bytes);
      if (read > 0) {
        if (chain.bytes == 0) note("firstByteTime");
        lastGrowth = now;
        try {
          chain.push(buffer.array(), read);
        } catch (Fault broken) {
          return broken;
        }
        if (parts == null) continue;
        if (!cutParts()) {
          return new Fault(
              "UploadFailed",
              "the dump is larger than the ticket's " + order.partUrls.size() + " parts; the rest was not sent");
        }
        progress.bytes(chain.bytes, parts.compressedBytes);
        continue;
      }
      if (chain.ended()) return null;
      if (last) return new Fault("DumpFailed", notWhole(jvmEnded));
      if (now - lastLook > lookMillis) {
        lastLook = now;
        jvmEnded = !jvm.runs();
        long grown = place.segmentBytes();
        if (grown > segmentBytes) lastGrowth = now;
        segmentBytes = grown;
      }
      if (now - lastGrowth > (replyFailed ? 10_000 : stallMillis)) {
        return new Fault("DumpFailed", "the dump did not grow for " + (now - lastGrowth) / 1_000
            + " s and the JVM did not answer: it may never have reached a safepoint");
      }
      Thread.sleep(pollMillis);
    }
  }

  private String notWhole(boolean jvmEnded) throws InterruptedException {
    // A JVM that is killed closes its connections before its process is gone.
    for (int waited = 0; waited < 2_000 && !jvmEnded; waited += 50) {
      if (words != null && words.contains("Heap dump file created")) break;
      Thread.sleep(50);
      jvmEnded = !jvm.runs();
    }
    return jvmEnded
        ? "the JVM ended before it had finished its dump"
        : "the dump has no end record; the JVM said " + cut(String.valueOf(words));
  }

  /**
   * Cuts parts off what was read: at a record boundary, or inside of a record that is larger than a part, which is
   * announced. Returns false when the ticket has no URL for more.
   */
  private boolean cutParts() throws Fault, IOException, InterruptedException {
    long boundary = chain.contentEnd();
    long partBytes = parts.targetBytes();
    if (boundary - partStart >= partBytes) return cut(boundary, 0);
    if (chain.bytes - partStart < partBytes || chain.insideHead()) return true;
    long recordBytes = chain.bytes - chain.boundary + chain.remainingBytes;
    if (chain.ended() || recordBytes < partBytes) return true;
    if (boundary - partStart >= Parts.minPartBytes) return cut(boundary, 0);
    return cut(chain.bytes, chain.remainingBytes);
  }

  private boolean cut(long end, long remainingBytes) throws Fault, IOException, InterruptedException {
    if (!parts.mayCut()) return false;
    parts.send(partStart, end, new byte[0], remainingBytes, false);
    partStart = end;
    recordIsOpen = remainingBytes > 0;
    return true;
  }

  /** Makes what came parseable, sends the last part, and waits until everything is stored. */
  private void finish() throws Fault, IOException, InterruptedException {
    long whole = chain.recordCount;
    if (whole == 0) {
      if (fault == null) fault = new Fault("DumpFailed", "the dump file is empty");
      return;
    }
    boolean endedByJvm = chain.ended();
    long end = chain.contentEnd();
    long zeroBytes = 0;
    // The beginning of a record that left with an earlier part cannot be taken back: it is filled up.
    if (recordIsOpen && end < partStart) {
      end = chain.bytes;
      zeroBytes = chain.remainingBytes;
    }
    byte[] tail = Parts.tailOf(zeroBytes, order.blockBytes);
    parts.send(partStart, end, tail, 0, true);
    parts.settle();
    parts.throwFailure();
    if (parts.storedCount() != parts.nextPartNumber - 1) {
      throw new Fault("DeadlineExceeded", "not all parts were stored before the deadline");
    }
    note("durableTime");
    Map<String, Object> dump = new LinkedHashMap<>();
    dump.put("codec", "zstd");
    dump.put("rawBytes", end + zeroBytes + RecordChain.endRecordBytes);
    dump.put("compressedBytes", parts.compressedBytes);
    dump.put("compositeMd5", parts.compositeMd5());
    dump.put("identifierByteSize", chain.identifierByteSize);
    dump.put("recordCount", whole + (zeroBytes > 0 ? 1 : 0) + (endedByJvm ? 0 : 1));
    dump.put("endRecord", endedByJvm);
    dump.put("appendedBytes", zeroBytes + (endedByJvm ? 0 : RecordChain.endRecordBytes));
    dump.put("endFrameBytes", Parts.endFrameBytes);
    dump.put("parts", parts.storedParts());
    result = dump;
  }

  private void note(String step) {
    times.put(step, Instant.now().toString());
  }

  private static String cut(String text) {
    return '"' + text.substring(0, Math.min(300, text.length())) + '"';
  }
}
