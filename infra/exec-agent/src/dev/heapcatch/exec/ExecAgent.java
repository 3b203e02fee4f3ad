package dev.heapcatch.exec;

import java.io.ByteArrayInputStream;
import java.io.File;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.nio.file.Paths;
import java.util.Base64;
import java.util.LinkedHashMap;
import java.util.Map;

/**
 * The agent of rung C: runs on the JRE of the application's own container. Reads `{"ticketUrl":"…"}` from its input,
 * answers with one line as `start` of the node agent does, lets go of its output, and carries the ticket out. Where the
 * container does not reach the object store, `{"relayedTicket":"…"}` is the ticket itself, in base64, and what is captured
 * lies in the jar's own directory until it was fetched.
 * System properties: heapcatch.jcmd (path of the image's jcmd), heapcatch.attach (`jcmd` uses it although there are
 * sockets), heapcatch.procRoot, heapcatch.fetchSeconds.
 */
public final class ExecAgent {
  private ExecAgent() {}

  public static void main(String[] arguments) throws Exception {
    removeJar();
    Ticket ticket;
    Spool spool;
    String jcmd;
    try {
      ticket = readTicket();
      jcmd = chooseJcmd();
      spool = ticket.relayMaxDumpBytes < 0 ? null : new Spool(jar().toPath().toAbsolutePath().getParent());
    } catch (Fault fault) {
      answer("refused", fault);
      System.exit(3);
      return;
    }
    if (spool != null) Runtime.getRuntime().addShutdownHook(new Thread(spool::remove));
    answer("accepted", null);
    // Both are replaced by /dev/null: whoever ran this command is not held up, and cannot break it.
    System.out.close();
    System.err.close();
    Path procRoot = Paths.get(System.getProperty("heapcatch.procRoot", "/proc"));
    String version = ExecAgent.class.getPackage().getImplementationVersion();
    new Capture(ticket, spool, procRoot, jcmd, version == null ? "unknown" : version).run();
    System.exit(0);
  }

  /** The JVM holds the jar open: its name can go at once, and stays nowhere when the container is killed. */
  private static void removeJar() {
    File jar = jar();
    if (!Boolean.getBoolean("heapcatch.removeJar")) return;
    jar.delete();
    File folder = jar.getParentFile();
    if (folder != null) folder.delete();
  }

  private static File jar() {
    return new File(System.getProperty("java.class.path"));
  }

  private static Ticket readTicket() throws Fault, InterruptedException {
    Object input;
    try {
      input = Json.read(System.in, 64 * 1024);
    } catch (IOException notJson) {
      input = null;
    }
    Object relayed = input instanceof Map ? ((Map<?, ?>) input).get("relayedTicket") : null;
    Object url = input instanceof Map ? ((Map<?, ?>) input).get("ticketUrl") : null;
    Ticket ticket =
        relayed instanceof String
            ? relayedTicket((String) relayed)
            : new Ticket(fetchTicket(url instanceof String ? (String) url : ""));
    long now = System.currentTimeMillis();
    if (now > ticket.startDeadline || now > ticket.captureDeadline) {
      throw new Fault("TicketExpired", "the time to start is over; the capture had until " + ticket.captureDeadlineTime);
    }
    return ticket;
  }

  private static Ticket relayedTicket(String text) throws Fault {
    Ticket ticket;
    try {
      byte[] json = Base64.getDecoder().decode(text);
      ticket = new Ticket(Json.read(new ByteArrayInputStream(json), json.length));
    } catch (IOException | IllegalArgumentException malformed) {
      throw new Fault("InvalidTicket", "relayedTicket is not whole JSON in base64");
    }
    if (ticket.relayMaxDumpBytes < 0) throw new Fault("InvalidTicket", "relayedTicket has no field relay");
    return ticket;
  }

  private static Object fetchTicket(String url) throws Fault, InterruptedException {
    if (!url.matches("https?://[!-~]{1,4080}")) {
      throw new Fault("InvalidTicket", "the input has no ticketUrl; accepted is http or https");
    }
    long seconds = Long.getLong("heapcatch.fetchSeconds", 12);
    long deadline = System.currentTimeMillis() + seconds * 1_000;
    return Http.get(
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
