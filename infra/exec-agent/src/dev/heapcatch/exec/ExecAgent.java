package dev.heapcatch.exec;

import java.io.File;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.nio.file.Paths;
import java.util.LinkedHashMap;
import java.util.Map;

/**
 * The agent of rung C: runs on the JRE of the application's own container. Reads `{"ticketUrl":"…"}` from its input,
 * answers with one line as `start` of the node agent does, lets go of its output, and carries the ticket out.
 * System properties: heapcatch.jcmd (path of the image's jcmd), heapcatch.attach (`jcmd` uses it although there are
 * sockets), heapcatch.procRoot, heapcatch.fetchSeconds.
 */
public final class ExecAgent {
  private ExecAgent() {}

  public static void main(String[] arguments) throws Exception {
    removeJar();
    Ticket ticket;
    String jcmd;
    try {
      ticket = fetchTicket();
      jcmd = chooseJcmd();
    } catch (Fault fault) {
      answer("refused", fault);
      System.exit(3);
      return;
    }
    answer("accepted", null);
    // Both are replaced by /dev/null: whoever ran this command is not held up, and cannot break it.
    System.out.close();
    System.err.close();
    Path procRoot = Paths.get(System.getProperty("heapcatch.procRoot", "/proc"));
    String version = ExecAgent.class.getPackage().getImplementationVersion();
    new Capture(ticket, procRoot, jcmd, version == null ? "unknown" : version).run();
    System.exit(0);
  }

  /** The JVM holds the jar open: its name can go at once, and stays nowhere when the container is killed. */
  private static void removeJar() {
    File jar = new File(System.getProperty("java.class.path"));
    if (!Boolean.getBoolean("heapcatch.removeJar")) return;
    jar.delete();
    File folder = jar.getParentFile();
    if (folder != null) folder.delete();
  }

  private static Ticket fetchTicket() throws Fault, InterruptedException {
    String url;
    try {
      Object input = Json.read(System.in, 8 * 1024);
      Object value = input instanceof Map ? ((Map<?, ?>) input).get("ticketUrl") : null;
      url = value instanceof String ? (String) value : "";
    } catch (IOException notJson) {
      url = "";
    }
    if (!url.matches("https?://[!-~]{1,4080}")) {
      throw new Fault("InvalidTicket", "the input has no ticketUrl; accepted is http or https");
    }
    long seconds = Long.getLong("heapcatch.fetchSeconds", 12);
    long deadline = System.currentTimeMillis() + seconds * 1_000;
    Object document =
        Http.get(
            url,
            deadline,
            in -> {
              try {
                return Json.read(in, Ticket.maxBytes);
              } catch (java.net.SocketException | java.net.SocketTimeoutException broken) {
                throw broken;
              } catch (IOException malformed) {
                throw new Fault(
                    "InvalidTicket",
                    "the ticket is not whole JSON of at most " + Ticket.maxBytes + " bytes");
              }
            });
    Ticket ticket = new Ticket(document);
    long now = System.currentTimeMillis();
    if (now > ticket.startDeadline || now > ticket.captureDeadline) {
      throw new Fault("TicketExpired", "the time to start is over; the capture had until " + ticket.captureDeadlineTime);
    }
    return ticket;
  }

  /** Null when the JVM is spoken to by its socket, which costs nothing; jcmd is a second JVM in the container. */
  private static String chooseJcmd() throws Fault {
    String jcmd = System.getProperty("heapcatch.jcmd", "");
    boolean isForced = "jcmd".equals(System.getProperty("heapcatch.attach"));
    try {
      if (!isForced) Class.forName("java.net.UnixDomainSocketAddress");
    } catch (ClassNotFoundException before16) {
      isForced = true;
    }
    if (!isForced) return null;
    if (!jcmd.isEmpty()) return jcmd;
    throw new Fault(
        "AttachClientUnavailable",
        "Java " + System.getProperty("java.specification.version")
            + " has no unix sockets and the image has no jcmd; accepted are Java 16 and later, or any with jcmd");
  }

  private static void answer(String outcome, Fault fault) {
    Map<String, Object> reply = new LinkedHashMap<>();
    reply.put("outcome", outcome);
    if (fault != null) {
      reply.put("reason", fault.code);
      reply.put("message", fault.getMessage());
    }
    byte[] line = (Json.write(reply) + "\n").getBytes(StandardCharsets.US_ASCII);
    System.out.write(line, 0, line.length);
    System.out.flush();
  }
}
