package dev.heapcatch.exec;

import java.time.OffsetDateTime;
import java.time.format.DateTimeParseException;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/**
 * The agent's order (lib/capture/ticket.ts). A field that this agent does not know refuses the ticket: it can be an
 * order to leave something out of what is stored.
 */
final class Ticket {
  /** With 10,000 part URLs of 1.5 KiB; what does not fit into the agent's heap is refused with a reason. */
  static final long maxBytes = 8L * 1024 * 1024;

  final String captureId;
  final long fencingToken;
  final String rung;
  final String containerID;
  final long startDeadline;
  final long captureDeadline;
  final String captureDeadlineTime;
  final List<Evidence> evidence = new ArrayList<>();
  final String progressUrl;
  final String manifestUrl;
  /** Null when no heap dump is wanted. */
  final HeapDump heapDump;
  /**
   * More than a dump may have that goes out by the relay; -1 when there is none. A ticket that is relayed has no URL:
   * whoever asks for what is captured stores it.
   */
  final long relayMaxDumpBytes;

  static final class Evidence {
    final String artifact;
    final String putUrl;

    Evidence(String artifact, String putUrl) {
      this.artifact = artifact;
      this.putUrl = putUrl;
    }
  }

  static final class HeapDump {
    int blockBytes;
    long partBytes;
    long expectedBytes;
    final List<String> partUrls = new ArrayList<>();
    final List<String> directories = new ArrayList<>();
    /** Bytes that a dump may have in one of them; more would evict the pod. */
    final Map<String, Long> sizeLimits = new HashMap<>();
  }

  /** @throws Fault InvalidTicket: names the field. */
  Ticket(Object document) throws Fault {
    Map<?, ?> fields =
        fields(
            document,
            "ticket",
            "schemaVersion captureId fencingToken rung target issuedTime startDeadlineTime"
                + " captureDeadlineTime evidence heapDump progressUrl manifestUrl relay");
    if (number(fields, "schemaVersion", 1, 1) != 1) throw refused("schemaVersion", "1");
    captureId = text(fields, "captureId", "[a-z0-9]{16,40}");
    fencingToken = number(fields, "fencingToken", 1, Long.MAX_VALUE);
    rung = text(fields, "rung", "exec");
    Map<?, ?> target =
        fields(
            fields.get("target"),
            "target",
            "clusterName namespace podName podUid containerName containerID");
    containerID = text(target, "containerID", "[^\\s]{0,200}");
    startDeadline = time(fields, "startDeadlineTime");
    captureDeadlineTime = text(fields, "captureDeadlineTime", ".{1,40}");
    captureDeadline = time(fields, "captureDeadlineTime");
    boolean isRelayed = fields.containsKey("relay");
    relayMaxDumpBytes =
        isRelayed
            ? number(fields(fields.get("relay"), "relay", "maxDumpBytes"), "maxDumpBytes", 0, Long.MAX_VALUE / 4)
            : -1;
    progressUrl = isRelayed ? null : url(fields.get("progressUrl"), "progressUrl");
    manifestUrl = isRelayed ? null : url(fields.get("manifestUrl"), "manifestUrl");
    for (Object item : list(fields, "evidence", 8)) {
      Map<?, ?> order = fields(item, "evidence", "artifact putUrl");
      String artifact = text(order, "artifact", "[a-zA-Z]{1,40}");
      String putUrl = isRelayed ? null : url(order.get("putUrl"), "evidence.putUrl");
      evidence.add(new Evidence(artifact, putUrl));
    }
    heapDump = fields.containsKey("heapDump") ? heapDump(fields.get("heapDump"), isRelayed) : null;
  }

  private static HeapDump heapDump(Object value, boolean isRelayed) throws Fault {
    Map<?, ?> fields =
        // skipMerge is a wish that only the other agent can grant: here the JVM merges all the same.
        fields(value, "heapDump", "codec blockBytes partBytes partUrls directories sizeLimits expectedBytes skipMerge");
    HeapDump order = new HeapDump();
    text(fields, "codec", "zstd");
    order.blockBytes = (int) number(fields, "blockBytes", 65_536, 16 << 20);
    order.partBytes = number(fields, "partBytes", Parts.minPartBytes, 64 << 20);
    order.expectedBytes = number(fields, "expectedBytes", 0, Long.MAX_VALUE / 4);
    if (!isRelayed) {
      for (Object url : list(fields, "partUrls", 10_000)) order.partUrls.add(url(url, "partUrls"));
      if (order.partUrls.isEmpty()) throw refused("heapDump.partUrls", "at least one URL");
    }
    for (Object path : list(fields, "directories", 16)) {
      String accepted = "/(?!(?:.*/)?\\.\\.(?:/|$))[^\\u0000\\n\\r]{0,1023}";
      if (!(path instanceof String) || !((String) path).matches(accepted)) {
        throw refused("heapDump.directories", "absolute paths without \"..\"");
      }
      order.directories.add((String) path);
    }
    Object limits = fields.get("sizeLimits");
    if (limits != null) {
      if (!(limits instanceof Map)) throw refused("heapDump.sizeLimits", "an object of bytes by path");
      for (String path : order.directories) {
        if (((Map<?, ?>) limits).containsKey(path)) {
          order.sizeLimits.put(path, number((Map<?, ?>) limits, path, 0, Long.MAX_VALUE / 4));
        }
      }
    }
    return order;
  }

  private static Map<?, ?> fields(Object value, String name, String known) throws Fault {
    if (!(value instanceof Map)) throw refused(name, "an object");
    for (Object key : ((Map<?, ?>) value).keySet()) {
      if (!Arrays.asList(known.split(" ")).contains(key)) {
        throw new Fault(
            "InvalidTicket",
            "ticket field " + name + "." + key + " is not known to the exec agent; accepted are " + known);
      }
    }
    return (Map<?, ?>) value;
  }

  private static List<?> list(Map<?, ?> fields, String name, int maxCount) throws Fault {
    Object value = fields.get(name);
    if (value instanceof List && ((List<?>) value).size() <= maxCount) return (List<?>) value;
    throw refused(name, "a list of at most " + maxCount);
  }

  private static String text(Map<?, ?> fields, String name, String pattern) throws Fault {
    Object value = fields.get(name);
    if (value instanceof String && ((String) value).matches(pattern)) return (String) value;
    throw refused(name, "text that matches " + pattern);
  }

  private static long number(Map<?, ?> fields, String name, long min, long max) throws Fault {
    Object value = fields.get(name);
    if (value instanceof Long && (Long) value >= min && (Long) value <= max) return (Long) value;
    throw refused(name, "a whole number from " + min + " to " + max);
  }

  private static long time(Map<?, ?> fields, String name) throws Fault {
    try {
      return OffsetDateTime.parse(String.valueOf(fields.get(name))).toInstant().toEpochMilli();
    } catch (DateTimeParseException notATime) {
      throw refused(name, "an RFC 3339 time");
    }
  }

  /** The value is not shown: it is a secret. */
  private static String url(Object value, String name) throws Fault {
    if (value instanceof String && ((String) value).matches("https?://[!-~]{1,4080}")) {
      return (String) value;
    }
    throw refused(name, "an http or https URL");
  }

  private static Fault refused(String name, String accepted) {
    return new Fault("InvalidTicket", "ticket field " + name + ": accepted is " + accepted);
  }
}
