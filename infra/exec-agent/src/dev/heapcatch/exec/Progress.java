package dev.heapcatch.exec;

import java.nio.charset.StandardCharsets;
import java.time.Instant;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.TimeUnit;

/** The running account of a capture (lib/agent/progress.ts). Puts go out one after the other. */
final class Progress {
  private static final long reportPeriodMillis = 1_000;

  private final Ticket ticket;
  private final long deadline;
  private final TreeMap<Integer, Long> openParts = new TreeMap<>();
  private final TreeSet<Integer> storedParts = new TreeSet<>();
  private final Object putLock = new Object();
  private final ExecutorService reports =
      Executors.newSingleThreadExecutor(
          task -> {
            Thread thread = new Thread(null, task, "progress", 256 * 1024);
            thread.setDaemon(true);
            return thread;
          });
  private int storedWithoutGap;
  private int storedCount;
  private String step = "heapInfo";
  private long rawBytes;
  private long compressedBytes;
  private long sentBytes;
  private Integer finalPartNumber;
  private Map<String, Object> jvm;
  private long lastPut;
  private boolean waiting;

  Progress(Ticket ticket, long deadline) {
    this.ticket = ticket;
    this.deadline = deadline;
  }

  synchronized void step(String step, Map<String, Object> jvm) {
    this.step = step;
    this.jvm = jvm;
    report();
  }

  synchronized void bytes(long rawBytes, long compressedBytes) {
    this.rawBytes = rawBytes;
    this.compressedBytes = compressedBytes;
    report();
  }

  synchronized void partStored(int partNumber, long bytes) {
    storedCount++;
    sentBytes += bytes;
    storedParts.add(partNumber);
    while (storedParts.remove(storedWithoutGap + 1)) storedWithoutGap++;
    openParts.headMap(storedWithoutGap).clear();
    report();
  }

  /** Returns when it is durable. A part may end inside of a record only after that. */
  void announceOpenPart(int partNumber, long remainingBytes) throws Fault, InterruptedException {
    synchronized (this) {
      openParts.put(partNumber, remainingBytes);
    }
    put();
  }

  /** Returns when it is durable: a last part of this size could be taken for one of many. */
  void announceFinalPart(int partNumber) throws Fault, InterruptedException {
    synchronized (this) {
      finalPartNumber = partNumber;
    }
    put();
  }

  /** Waits for a report that is under way. */
  void settle() throws InterruptedException {
    reports.shutdown();
    reports.awaitTermination(5, TimeUnit.SECONDS);
  }

  /** At most once a second, and never a second one behind one that waits. A failed report is let go. */
  private void report() {
    long now = System.currentTimeMillis();
    if (waiting || now - lastPut < reportPeriodMillis || reports.isShutdown()) return;
    waiting = true;
    lastPut = now;
    reports.execute(
        () -> {
          try {
            put();
          } catch (Fault | InterruptedException | RuntimeException letGo) {
            // The next report says more than this one would have.
          } finally {
            synchronized (Progress.this) {
              waiting = false;
            }
          }
        });
  }

  private void put() throws Fault, InterruptedException {
    // Of what is relayed, whoever stores it keeps the account.
    if (ticket.progressUrl == null) return;
    synchronized (putLock) {
      byte[] body = document().getBytes(StandardCharsets.US_ASCII);
      byte[] md5 = Http.digest("MD5").digest(body);
      Http.put(ticket.progressUrl, Http.bytes(body), md5, deadline);
    }
  }

  private synchronized String document() {
    Map<String, Object> fields = new LinkedHashMap<>();
    fields.put("schemaVersion", 1);
    fields.put("captureId", ticket.captureId);
    fields.put("fencingToken", ticket.fencingToken);
    fields.put("time", Instant.now().toString());
    fields.put("step", step);
    fields.put("rawBytes", rawBytes);
    fields.put("compressedBytes", compressedBytes);
    fields.put("sentBytes", sentBytes);
    fields.put("sentPartCount", storedCount);
    List<Object> open = new ArrayList<>();
    for (Map.Entry<Integer, Long> part : openParts.entrySet()) {
      Map<String, Object> one = new LinkedHashMap<>();
      one.put("partNumber", part.getKey());
      one.put("remainingBytes", part.getValue());
      open.add(one);
    }
    fields.put("openParts", open);
    if (finalPartNumber != null) fields.put("finalPartNumber", finalPartNumber);
    if (jvm != null) fields.put("jvm", jvm);
    return Json.write(fields);
  }
}
