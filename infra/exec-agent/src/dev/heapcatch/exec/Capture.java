package dev.heapcatch.exec;

import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.time.Instant;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/** Carries out one ticket (lib/agent/capture.ts): evidence, each piece durable before the next, the dump, the manifest. */
final class Capture {
  /** Of 24 MiB of heap. A histogram of 20,000 classes has 2 MiB. */
  private static final int maxEvidenceBytes = 4 * 1024 * 1024;
  private static final int maxFaultCount = 20;
  private static final long maxMarginMillis = 15_000;
  private static final long maxEvidencePutMillis = 30_000;
  private static final int firstParallelDumpMajor = 22;

  private final Ticket ticket;
  /** Null unless the capture is relayed. */
  private final Spool spool;
  private final Path procRoot;
  private final String jcmd;
  private final String agentVersion;
  private final long stopTime;
  private final long partsDeadline;
  private final Progress progress;
  private final Map<String, Object> times = new LinkedHashMap<>();
  private final List<Object> evidence = new ArrayList<>();
  private final List<Object> faults = new ArrayList<>();
  private final Map<String, Object> facts = new LinkedHashMap<>();
  private HeapDump heapDump;
  private DumpPlace place;
  private int jdkMajor;
  private long heapUsedBytes = -1;

  Capture(Ticket ticket, Spool spool, Path procRoot, String jcmd, String agentVersion) {
    this.ticket = ticket;
    this.spool = spool;
    this.procRoot = procRoot;
    this.jcmd = jcmd;
    this.agentVersion = agentVersion;
    long now = System.currentTimeMillis();
    long margin = Math.max(0, Math.min(maxMarginMillis, (ticket.captureDeadline - now) / 4));
    stopTime = ticket.captureDeadline - margin;
    partsDeadline = ticket.captureDeadline - margin / 5;
    progress = new Progress(ticket, partsDeadline);
    note("startTime");
  }

  void run() throws InterruptedException {
    try {
      captureJvm();
    } catch (Fault fault) {
      noteFault(fault);
    }
    progress.settle();
    if (spool != null) {
      leaveForRelay();
      return;
    }
    // The manifest would end the capture: without it sweep keeps the parts that lie there.
    if (heapDump != null && heapDump.result == null && heapDump.storedPartCount() > 0) return;
    if (heapDump != null && heapDump.fault != null && "NoSuchUpload".equals(heapDump.fault.s3Code)) return;
    note("endTime");
    byte[] manifest = Json.write(manifest()).getBytes(StandardCharsets.US_ASCII);
    try {
      byte[] md5 = Http.digest("MD5").digest(manifest);
      Http.put(ticket.manifestUrl, Http.bytes(manifest), md5, ticket.captureDeadline);
    } catch (Fault notWritten) {
      // Nobody is left to tell: sweep finds a capture without a manifest.
    }
  }

  /** What it says is what a manifest would, but for what only who stores it can know. */
  private void leaveForRelay() throws InterruptedException {
    note("endTime");
    try {
      spool.end(manifest());
      spool.awaitDone(ticket.captureDeadline);
    } catch (Fault notWritten) {
      // Whoever waits for it is told by the end of its time.
    } finally {
      if (place != null) place.remove();
      spool.remove();
    }
  }

  private void captureJvm() throws Fault, InterruptedException {
    Jvm jvm = Jvm.find(procRoot, ticket.containerID, jcmd);
    note("jvmFoundTime");
    facts.put("pid", jvm.pid);
    for (Ticket.Evidence order : ticket.evidence) {
      if (order.artifact.equals("processFacts")) storeEvidence(jvm, order);
    }
    jvm.attach();
    note("attachTime");
    askFacts(jvm);
    for (Ticket.Evidence order : ticket.evidence) {
      if (!order.artifact.equals("processFacts")) storeEvidence(jvm, order);
    }
    if (ticket.heapDump != null) dumpHeap(jvm);
  }

  private void askFacts(Jvm jvm) throws InterruptedException {
    try {
      String version = jvm.run("VM.version", 10_000, 20_000).text();
      Matcher vm = Pattern.compile("(?m)^(.{1,150}?) version (\\S{1,150})$").matcher(version);
      if (vm.find()) {
        facts.put("vmName", vm.group(1));
        facts.put("vmVersion", vm.group(2));
      }
      Matcher jdk = Pattern.compile("(?m)^JDK ((?:1\\.)?(\\d{1,3})\\S{0,140})$").matcher(version);
      if (jdk.find()) {
        facts.put("jdkVersion", jdk.group(1));
        jdkMajor = Integer.parseInt(jdk.group(2));
      }
      long used = usedBytes(jvm.run("GC.heap_info", 10_000, 20_000).text());
      if (used > 0) {
        heapUsedBytes = used;
        facts.put("heapUsedBytes", used);
      }
    } catch (Fault unanswered) {
      // What it does not answer is absent.
    }
  }

  /** Sum of the generations' used bytes as Serial, Parallel, G1 and ZGC print them; -1 when none is printed. */
  static long usedBytes(String heapInfo) {
    Matcher line =
        Pattern.compile(
                "(?m)^ ?(?:garbage-first heap|ZHeap|PSYoungGen|ParOldGen|(?:def new|tenured) generation|DefNew|Tenured)"
                    + "[^\\n]{0,200}?used (\\d{1,12}) ?([KMG])")
            .matcher(heapInfo);
    long sum = -1;
    while (line.find()) {
      long unit = 1L << (10 * ("KMG".indexOf(line.group(2)) + 1));
      sum = Math.max(0, sum) + Long.parseLong(line.group(1)) * unit;
    }
    return sum;
  }

  private void storeEvidence(Jvm jvm, Ticket.Evidence order) throws InterruptedException {
    progress.step(order.artifact, facts);
    try {
      byte[] body =
          order.artifact.equals("processFacts")
              ? ProcessText.of(procRoot, jvm.pid).getBytes(StandardCharsets.ISO_8859_1)
              : ask(jvm, order.artifact);
      if (body == null) return;
      if (spool != null) {
        spool.evidence(order.artifact, body);
        return;
      }
      byte[] md5 = Http.digest("MD5").digest(body);
      long now = System.currentTimeMillis();
      long deadline = now + Math.min(maxEvidencePutMillis, (partsDeadline - now) / 8);
      Http.put(order.putUrl, Http.bytes(body), md5, deadline);
      Map<String, Object> stored = new LinkedHashMap<>();
      stored.put("artifact", order.artifact);
      stored.put("bytes", body.length);
      stored.put("md5", Http.hex(md5));
      evidence.add(stored);
    } catch (Fault fault) {
      noteFault(new Fault(fault.code, order.artifact + ": " + fault.getMessage()));
    }
  }

  /** The JVM's answer; null of native memory that it does not track. */
  private byte[] ask(Jvm jvm, String artifact) throws Fault, InterruptedException {
    if (jvm.isBusy) throw new Fault("AttachFailed", "not asked for, since the JVM did not answer before");
    Jvm.Reply reply;
    switch (artifact) {
      case "heapInfo":
        reply = jvm.run("GC.heap_info", 20_000, maxEvidenceBytes);
        break;
      case "threads":
        // -e came with JDK 11.
        String command = jdkMajor >= 11 ? "Thread.print -l -e" : "Thread.print -l";
        reply = jvm.run(command, 30_000, maxEvidenceBytes);
        break;
      case "nativeMemory":
        reply = jvm.run("VM.native_memory summary", 20_000, maxEvidenceBytes);
        if (reply.text().startsWith("Native memory tracking is not enabled")) return null;
        break;
      case "classHistogram":
        reply = jvm.run("GC.class_histogram -all", 60_000, maxEvidenceBytes);
        break;
      default:
        throw new Fault("NotSupported", "the exec agent does not collect it");
    }
    if (reply.status != 0) throw new Fault("AttachFailed", "the JVM answered " + reply.status);
    if (reply.truncated) {
      byte[] note = ("\n[cut: only the first " + maxEvidenceBytes + " bytes]\n").getBytes(StandardCharsets.US_ASCII);
      // In place of the last bytes: a copy of the whole would not fit.
      System.arraycopy(note, 0, reply.output, reply.output.length - note.length, note.length);
    }
    return reply.output;
  }

  private void dumpHeap(Jvm jvm) throws Fault, InterruptedException {
    Ticket.HeapDump order = ticket.heapDump;
    long needed = order.expectedBytes;
    if (heapUsedBytes > 0) needed = Math.min(needed, (long) (heapUsedBytes * 1.4) + (64L << 20));
    if (spool != null && needed > ticket.relayMaxDumpBytes) {
      throw new Fault(
          "DumpTooLarge",
          "the dump may have " + needed + " bytes; " + ticket.relayMaxDumpBytes
              + " can be relayed in the time there is and by the policy: it was not begun");
    }
    // JDK 22 and later copies its segments into the dump before it removes them.
    if (jdkMajor >= firstParallelDumpMajor || jdkMajor == 0) needed *= 2;
    String fileName = "heapcatch-" + ticket.captureId + "-" + ticket.fencingToken + ".hprof";
    progress.step("heapDump", facts);
    place = DumpPlace.find(order, fileName, needed);
    if (spool != null) spool.dump(place.file);
    // A process that is told to end still takes its file away.
    Thread removal = new Thread(place::remove);
    Runtime.getRuntime().addShutdownHook(removal);
    heapDump = new HeapDump(order, place, jvm, progress, times, stopTime, partsDeadline);
    heapDump.save();
    if (spool == null) place.remove();
    if (heapDump.fault != null) noteFault(heapDump.fault);
  }

  private Map<String, Object> manifest() {
    Map<String, Object> fields = new LinkedHashMap<>();
    fields.put("schemaVersion", 1);
    fields.put("captureId", ticket.captureId);
    fields.put("fencingToken", ticket.fencingToken);
    fields.put("rung", ticket.rung);
    fields.put("agentVersion", agentVersion);
    fields.put("times", times);
    if (!facts.isEmpty()) fields.put("jvm", facts);
    if (spool == null) fields.put("evidence", evidence);
    if (heapDump != null && heapDump.result != null) fields.put("dump", heapDump.result);
    fields.put("faults", faults);
    return fields;
  }

  private void noteFault(Fault fault) {
    if (faults.size() >= maxFaultCount) return;
    String message = fault.getMessage().replaceAll("https?://\\S+", "[url]");
    Map<String, Object> one = new LinkedHashMap<>();
    one.put("code", fault.code);
    one.put("message", message.substring(0, Math.min(1_000, message.length())));
    faults.add(one);
  }

  private void note(String step) {
    times.put(step, Instant.now().toString());
  }
}
