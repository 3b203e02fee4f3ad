package dev.heapcatch.exec;

import java.io.ByteArrayOutputStream;
import java.io.File;
import java.io.IOException;
import java.io.InputStream;
import java.net.SocketAddress;
import java.nio.ByteBuffer;
import java.nio.channels.SocketChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.Paths;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicReference;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * The application's JVM, found in /proc and spoken to by the attach protocol (lib/agent/attach.ts): over its unix
 * socket where this JRE can open one (Java 16 and later), or through the jcmd of the image.
 */
final class Jvm {
  private static final int attachTimeoutMillis = 20_000;
  private static final long sigQuitBit = 1L << 2;

  private final Path procRoot;
  /** Null where the socket is used. */
  private final String jcmd;
  final int pid;
  private final String startTicks;
  private Path socketPath;
  /** A command was not answered in time: the JVM runs one at a time, and others would only wait behind it. */
  boolean isBusy;

  /** One answer of the JVM. */
  static final class Reply {
    int status;
    boolean truncated;
    byte[] output = {};

    String text() {
      return new String(output, StandardCharsets.UTF_8);
    }
  }

  private Jvm(Path procRoot, int pid, String jcmd) {
    this.procRoot = procRoot;
    this.pid = pid;
    this.jcmd = jcmd;
    this.startTicks = startTicks(procRoot, pid);
  }

  /**
   * The one HotSpot JVM of the container beside this process, or the ancestor of all others.
   * @throws Fault JvmNotFound, JvmAmbiguous, NotSupported (OpenJ9), AttachFailed (of another user).
   */
  static Jvm find(Path procRoot, String containerID, String jcmd) throws Fault {
    String self = new File("/proc/self").toPath().toFile().exists() ? selfPid() : "";
    String id = containerID.replaceFirst("^[^:]*://", "");
    List<Integer> found = new ArrayList<>();
    List<Integer> ofContainer = new ArrayList<>();
    String closed = null;
    String[] names = procRoot.toFile().list();
    for (String name : names == null ? new String[0] : names) {
      if (!name.matches("[1-9][0-9]{0,9}") || name.equals(self)) continue;
      String maps;
      try {
        maps = read(procRoot.resolve(name).resolve("maps"), 16 << 20);
      } catch (IOException unreadable) {
        if (Files.exists(procRoot.resolve(name))) closed = name;
        continue;
      }
      if (maps.contains("/libj9vm")) {
        throw new Fault(
            "NotSupported",
            "process " + name + " is an OpenJ9 JVM, which has other dump commands; accepted are HotSpot JVMs");
      }
      if (!maps.contains("/libjvm.so")) continue;
      int pid = Integer.parseInt(name);
      found.add(pid);
      if (!id.isEmpty() && field(procRoot, pid, "cgroup", "(?s)(.*)").contains(id)) ofContainer.add(pid);
    }
    // In a pod that shares its process namespace, the other containers are in view as well.
    List<Integer> jvms = ofContainer.isEmpty() ? found : ofContainer;
    if (jvms.isEmpty()) {
      if (closed == null) throw new Fault("JvmNotFound", "no process of the container maps libjvm.so");
      throw new Fault("AttachFailed", "process " + closed + " cannot be looked into by this uid");
    }
    return new Jvm(procRoot, rootOf(procRoot, jvms), jcmd);
  }

  private static String selfPid() {
    try {
      return new File("/proc/self").getCanonicalFile().getName();
    } catch (IOException unknown) {
      return "";
    }
  }

  private static int rootOf(Path procRoot, List<Integer> jvms) throws Fault {
    for (int candidate : jvms) {
      boolean aboveAll = true;
      for (int other : jvms) {
        int at = other;
        for (int steps = 0; at != candidate && at > 0 && steps < 100; steps++) {
          String parent = field(procRoot, at, "status", "(?m)^PPid:\\s*(\\d+)");
          at = parent.isEmpty() ? 0 : Integer.parseInt(parent);
        }
        aboveAll &= at == candidate;
      }
      if (aboveAll) return candidate;
    }
    throw new Fault(
        "JvmAmbiguous", "the container has the JVMs " + jvms + ", none of them the ancestor of the others");
  }

  /**
   * Makes the JVM listen, unless it does already. SIGQUIT goes out at most twice, and never to a process that does
   * not handle it.
   * @throws Fault AttachDisabled, AttachFailed.
   */
  void attach() throws Fault, InterruptedException {
    if (attachIsDisabled()) {
      throw new Fault(
          "AttachDisabled",
          "JVM " + pid + " runs with -XX:+DisableAttachMechanism: only its own -XX:+HeapDumpOnOutOfMemoryError can dump it");
    }
    if (jcmd != null) return;
    String inNamespace = field(procRoot, pid, "status", "(?m)^NSpid:.*?(\\d+)\\s*$");
    String name = inNamespace.isEmpty() ? String.valueOf(pid) : inNamespace;
    socketPath = Paths.get("/tmp/.java_pid" + name);
    if (accepts()) return;
    String caught = field(procRoot, pid, "status", "(?m)^SigCgt:\\s*([0-9a-f]{1,16})$");
    if (caught.isEmpty() || (Long.parseUnsignedLong(caught, 16) & sigQuitBit) == 0) {
      throw new Fault(
          "AttachDisabled",
          "JVM " + pid + " does not listen, and does not handle SIGQUIT, by which it could be told to. The signal would end it, so it was not sent");
    }
    Path trigger = createTrigger(".attach_pid" + name);
    try {
      wakeListener();
    } finally {
      trigger.toFile().delete();
    }
  }

  private void wakeListener() throws Fault, InterruptedException {
    long started = System.currentTimeMillis();
    int quitCount = 0;
    for (; ; ) {
      long waited = System.currentTimeMillis() - started;
      if (waited >= attachTimeoutMillis) break;
      if (quitCount == 0 || (quitCount == 1 && waited >= attachTimeoutMillis / 2)) {
        if (!runs()) throw failed("it has ended");
        sendQuit();
        quitCount++;
      }
      Thread.sleep(10);
      if (accepts()) return;
    }
    throw failed("no socket in /tmp within " + attachTimeoutMillis / 1_000 + " s after SIGQUIT");
  }

  /** Java cannot send a signal: the shell can, by a command of its own. */
  private void sendQuit() throws Fault, InterruptedException {
    try {
      Process shell = new ProcessBuilder("sh", "-c", "kill -QUIT " + pid).start();
      if (!shell.waitFor(5, TimeUnit.SECONDS) || shell.exitValue() != 0) {
        throw failed("SIGQUIT was refused");
      }
    } catch (IOException absent) {
      throw failed("no shell to send SIGQUIT with");
    }
  }

  private Path createTrigger(String name) throws Fault {
    Path[] places = {procRoot.resolve(pid + "/cwd/" + name), Paths.get("/tmp/" + name)};
    for (Path place : places) {
      try {
        if (!Files.exists(place)) Files.createFile(place);
        return place;
      } catch (IOException refused) {
        // The next place, or the failure below.
      }
    }
    throw failed(name + " can be created neither in its working directory nor in /tmp");
  }

  private boolean accepts() throws Fault {
    if (!Files.exists(socketPath)) return false;
    try (SocketChannel channel = connect()) {
      return channel.isConnected();
    } catch (IOException refused) {
      return false;
    }
  }

  /** By reflection: the class came with Java 16, and this jar runs on Java 8. */
  private SocketChannel connect() throws IOException, Fault {
    Object address;
    try {
      Class<?> addresses = Class.forName("java.net.UnixDomainSocketAddress");
      address = addresses.getMethod("of", String.class).invoke(null, socketPath.toString());
    } catch (ReflectiveOperationException absent) {
      throw failed("this JRE has no unix sockets, and there is no jcmd");
    }
    return SocketChannel.open((SocketAddress) address);
  }

  /**
   * Runs one diagnostic command. The JVM may go on with it after a fault: it cannot be called back.
   * @throws Fault AttachFailed: no connection, or no answer in time.
   */
  Reply run(String command, long timeoutMillis, int maxBytes) throws Fault, InterruptedException {
    String name = command.split(" ", 2)[0];
    long started = System.currentTimeMillis();
    try {
      return jcmd == null
          ? askSocket(command, timeoutMillis, maxBytes)
          : askJcmd(command, timeoutMillis, maxBytes);
    } catch (IOException broken) {
      isBusy = System.currentTimeMillis() - started >= timeoutMillis;
      String why = broken.getClass().getSimpleName();
      throw failed(name + ": " + (isBusy ? "no whole answer within " + timeoutMillis / 1_000 + " s" : why));
    }
  }

  private Reply askSocket(String command, long timeoutMillis, int maxBytes)
      throws IOException, Fault, InterruptedException {
    try (SocketChannel channel = connect()) {
      try (Cutter cutter = new Cutter(channel, timeoutMillis)) {
        ByteBuffer request =
            ByteBuffer.wrap(("1\0jcmd\0" + command + "\0\0\0").getBytes(StandardCharsets.UTF_8));
        while (request.hasRemaining()) channel.write(request);
        Collector collector = new Collector(maxBytes);
        ByteBuffer buffer = ByteBuffer.allocate(16 * 1024);
        while (channel.read(buffer) >= 0) {
          collector.add(buffer.array(), buffer.position());
          buffer.clear();
        }
        return collector.reply();
      }
    }
  }

  private Reply askJcmd(String command, long timeoutMillis, int maxBytes)
      throws IOException, Fault, InterruptedException {
    ProcessBuilder builder =
        new ProcessBuilder(jcmd, "-J-Xmx16m", "-J-XX:+UseSerialGC", String.valueOf(pid), command);
    Process process = builder.redirectErrorStream(true).start();
    try (Cutter cutter = new Cutter(process::destroyForcibly, timeoutMillis);
        InputStream in = process.getInputStream()) {
      process.getOutputStream().close();
      // jcmd prints the pid in the first line; the attach protocol a status.
      Collector collector = new Collector(maxBytes);
      byte[] buffer = new byte[16 * 1024];
      for (int read; (read = in.read(buffer)) >= 0; ) collector.add(buffer, read);
      if (cutter.hasCut) throw new IOException("cut");
      Reply reply = new Reply();
      reply.status = process.waitFor();
      reply.truncated = collector.truncated;
      reply.output = collector.body();
      return reply;
    }
  }

  /** Ends a read that has no timeout of its own. */
  private static final class Cutter implements AutoCloseable {
    private final Thread thread;
    private volatile boolean hasCut;

    Cutter(AutoCloseable target, long timeoutMillis) {
      thread =
          new Thread(
              null,
              () -> {
                try {
                  Thread.sleep(timeoutMillis);
                  hasCut = true;
                  target.close();
                } catch (Exception closedOrDone) {
                  // Interrupted by close(): the answer came in time.
                }
              },
              "cutter",
              128 * 1024);
      thread.setDaemon(true);
      thread.start();
    }

    @Override
    public void close() {
      thread.interrupt();
    }
  }

  /** The first line apart, the rest up to a bound. */
  private static final class Collector {
    private final ByteArrayOutputStream kept = new ByteArrayOutputStream(8 * 1024);
    private final StringBuilder firstLine = new StringBuilder();
    private final int maxBytes;
    private boolean inBody;
    boolean truncated;

    Collector(int maxBytes) {
      this.maxBytes = maxBytes;
    }

    void add(byte[] bytes, int length) {
      int at = 0;
      while (!inBody && at < length) {
        char c = (char) bytes[at++];
        if (c == '\n') inBody = true;
        else if (firstLine.length() < 100) firstLine.append(c);
      }
      int taken = Math.min(length - at, maxBytes - kept.size());
      kept.write(bytes, at, taken);
      truncated |= taken < length - at;
    }

    byte[] body() {
      return kept.toByteArray();
    }

    Reply reply() throws Fault {
      if (!firstLine.toString().matches("-?[0-9]{1,9}")) {
        throw new Fault("AttachFailed", "the JVM closed the connection without an answer");
      }
      Reply reply = new Reply();
      reply.status = Integer.parseInt(firstLine.toString());
      reply.truncated = truncated;
      reply.output = body();
      return reply;
    }
  }

  /** Whether it still is the very process that was found: not gone, not a zombie, its pid not reused. */
  boolean runs() {
    String state = field(procRoot, pid, "status", "(?m)^State:\\s*(\\S)");
    if (state.isEmpty() || "ZXx".contains(state)) return false;
    return startTicks.equals(startTicks(procRoot, pid));
  }

  private static String startTicks(Path procRoot, int pid) {
    return field(procRoot, pid, "stat", "(?s).*\\)(?: \\S+){19} (\\d+)");
  }

  /** The last of several options is the one that counts. */
  private boolean attachIsDisabled() {
    String options = "";
    for (String file : new String[] {"environ", "cmdline"}) {
      for (String item : field(procRoot, pid, file, "(?s)(.*)").split("\0")) {
        if (file.equals("cmdline") || item.matches("(?s)(JAVA_TOOL_OPTIONS|JDK_JAVA_OPTIONS|_JAVA_OPTIONS)=.*")) {
          options += " " + item;
        }
      }
    }
    int on = options.lastIndexOf("-XX:+DisableAttachMechanism");
    return on >= 0 && on > options.lastIndexOf("-XX:-DisableAttachMechanism");
  }

  /** The first group of a pattern in a file of the process; empty when there is none. */
  private static String field(Path procRoot, int pid, String file, String pattern) {
    try {
      String text = read(procRoot.resolve(pid + "/" + file), 1 << 20);
      Matcher found = Pattern.compile(pattern).matcher(text);
      return found.find() ? found.group(1) : "";
    } catch (IOException unreadable) {
      return "";
    }
  }

  /** At most maxBytes and one buffer. */
  static String read(Path path, int maxBytes) throws IOException {
    try (InputStream in = Files.newInputStream(path)) {
      ByteArrayOutputStream kept = new ByteArrayOutputStream();
      byte[] buffer = new byte[16 * 1024];
      for (int read; kept.size() < maxBytes && (read = in.read(buffer)) >= 0; ) {
        kept.write(buffer, 0, read);
      }
      return kept.toString("ISO-8859-1");
    }
  }

  private Fault failed(String why) {
    return new Fault("AttachFailed", "attach to JVM " + pid + " failed: " + why);
  }
}
