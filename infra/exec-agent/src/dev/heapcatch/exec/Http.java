package dev.heapcatch.exec;

import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.net.HttpURLConnection;
import java.net.URL;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.Arrays;
import java.util.Base64;
import java.util.Collection;
import java.util.concurrent.Executors;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.ScheduledFuture;
import java.util.concurrent.ThreadLocalRandom;
import java.util.concurrent.TimeUnit;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/** GET and PUT by presigned URLs, with the retries of lib/agent/put-object.ts. */
final class Http {
  private static final int connectTimeoutMillis = 10_000;
  private static final int inactivityTimeoutMillis = 15_000;
  private static final int maxBackoffMillis = 5_000;
  private static final int maxAnswerBytes = 8 * 1024;
  private static final Pattern codePattern = Pattern.compile("<Code>([A-Za-z]{1,60})</Code>");
  /** S3 codes that a later try can cure although their HTTP status would not say so. */
  private static final Collection<String> retryableCodes =
      Arrays.asList("RequestTimeout", "BadDigest", "SlowDown", "InternalError");
  /** HttpURLConnection has no timeout for writing: a stalled upload is cut off from outside. */
  private static final ScheduledExecutorService watchdog =
      Executors.newSingleThreadScheduledExecutor(
          task -> {
            Thread thread = new Thread(null, task, "watchdog", 128 * 1024);
            thread.setDaemon(true);
            return thread;
          });

  private Http() {}

  /** What is put; written anew at each try. */
  interface Body {
    long length();

    void writeTo(OutputStream out) throws IOException;
  }

  static Body bytes(byte[] content) {
    return new Body() {
      @Override
      public long length() {
        return content.length;
      }

      @Override
      public void writeTo(OutputStream out) throws IOException {
        out.write(content);
      }
    };
  }

  interface Reader<T> {
    T read(InputStream in) throws IOException, Fault;
  }

  /**
   * @param deadline milliseconds since 1970.
   * @return the ETag as S3 spelled it.
   * @throws Fault TicketExpired, UploadFailed (with the code of S3), DeadlineExceeded.
   */
  static String put(String url, Body body, byte[] md5, long deadline)
      throws Fault, InterruptedException {
    for (int attempt = 1; ; attempt++) {
      String reason;
      try {
        Answer answer = tryPut(url, body, md5, deadline);
        if (answer.status == 200 && answer.eTag != null) return answer.eTag;
        reason = retryReason(answer);
      } catch (IOException failed) {
        reason = failed.getClass().getSimpleName();
      }
      long ceiling = Math.min(maxBackoffMillis, 100L << Math.min(attempt - 1, 10));
      long pause = ceiling / 2 + ThreadLocalRandom.current().nextLong(ceiling / 2 + 1);
      if (System.currentTimeMillis() + pause >= deadline) {
        throw new Fault(
            "DeadlineExceeded",
            "upload of " + body.length() + " bytes not accepted until the deadline, after " + attempt
                + " tries: " + reason);
      }
      Thread.sleep(pause);
    }
  }

  private static final class Answer {
    int status;
    String eTag;
    String text = "";
  }

  private static Answer tryPut(String url, Body body, byte[] md5, long deadline)
      throws IOException {
    HttpURLConnection connection = open(url, deadline);
    connection.setRequestMethod("PUT");
    connection.setDoOutput(true);
    connection.setFixedLengthStreamingMode(body.length());
    connection.setRequestProperty("Content-Type", "application/octet-stream");
    connection.setRequestProperty("Content-MD5", Base64.getEncoder().encodeToString(md5));
    long[] lastWrite = {System.currentTimeMillis()};
    ScheduledFuture<?> watch =
        watchdog.scheduleWithFixedDelay(
            () -> {
              long now = System.currentTimeMillis();
              if (now > deadline || now - lastWrite[0] > 2 * inactivityTimeoutMillis) {
                connection.disconnect();
              }
            },
            1_000,
            1_000,
            TimeUnit.MILLISECONDS);
    try {
      try (OutputStream out = connection.getOutputStream()) {
        body.writeTo(new NotingStream(out, lastWrite));
      }
      lastWrite[0] = System.currentTimeMillis();
      Answer answer = new Answer();
      answer.status = connection.getResponseCode();
      answer.eTag = connection.getHeaderField("ETag");
      answer.text = readAnswer(connection);
      return answer;
    } catch (IOException failed) {
      connection.disconnect();
      throw failed;
    } finally {
      watch.cancel(false);
    }
  }

  /** Reads the answer to its end, so that the connection can be used again. */
  private static String readAnswer(HttpURLConnection connection) throws IOException {
    boolean good = connection.getResponseCode() < 400;
    InputStream in = good ? connection.getInputStream() : connection.getErrorStream();
    if (in == null) return "";
    try (InputStream open = in) {
      byte[] bytes = new byte[maxAnswerBytes];
      int length = 0;
      for (int read; length < bytes.length; length += read) {
        read = open.read(bytes, length, bytes.length - length);
        if (read < 0) break;
      }
      return new String(bytes, 0, length, StandardCharsets.ISO_8859_1);
    }
  }

  private static String retryReason(Answer answer) throws Fault {
    Matcher found = codePattern.matcher(answer.text);
    String code = found.find() ? found.group(1) : null;
    String words = "HTTP " + answer.status + (code == null ? "" : " " + code);
    if (answer.status == 200) return "HTTP 200 without an ETag";
    boolean passing = answer.status >= 500 || answer.status == 429 || retryableCodes.contains(code);
    if (passing) return words;
    if (answer.status == 403 && answer.text.toLowerCase().contains("expired")) {
      throw new Fault("TicketExpired", "upload refused: the URL's time is over (" + words + ")");
    }
    throw new Fault("UploadFailed", "upload refused: " + words, code);
  }

  /**
   * Reads a document; tries again until the deadline when nothing comes.
   * @throws Fault StorageUnreachable (no connection, no answer, 5xx), TicketExpired (any other refusal of the URL).
   */
  static <T> T get(String url, long deadline, Reader<T> reader) throws Fault, InterruptedException {
    for (int attempt = 1; ; attempt++) {
      String reason;
      try {
        HttpURLConnection connection = open(url, deadline);
        int status = connection.getResponseCode();
        if (status == 200) {
          try (InputStream in = connection.getInputStream()) {
            return reader.read(new java.io.BufferedInputStream(in, 16 * 1024));
          }
        }
        reason = "HTTP " + status;
        if (status < 500 && status != 429) {
          throw new Fault("TicketExpired", "the ticket was not given out: " + reason);
        }
      } catch (IOException failed) {
        reason = failed.getClass().getSimpleName();
      }
      long pause = 250L * attempt;
      if (System.currentTimeMillis() + pause >= deadline) {
        throw new Fault(
            "StorageUnreachable",
            "the container cannot fetch its ticket from the object store: " + reason + ", after "
                + attempt + " tries");
      }
      Thread.sleep(pause);
    }
  }

  private static HttpURLConnection open(String url, long deadline) throws IOException {
    long left = Math.max(1, deadline - System.currentTimeMillis());
    HttpURLConnection connection =
        (HttpURLConnection) new URL(url).openConnection(java.net.Proxy.NO_PROXY);
    connection.setInstanceFollowRedirects(false);
    connection.setUseCaches(false);
    connection.setConnectTimeout((int) Math.min(connectTimeoutMillis, left));
    connection.setReadTimeout((int) Math.min(inactivityTimeoutMillis, left));
    return connection;
  }

  static MessageDigest digest(String algorithm) {
    try {
      return MessageDigest.getInstance(algorithm);
    } catch (NoSuchAlgorithmException absent) {
      throw new IllegalStateException("this JRE has no " + algorithm, absent);
    }
  }

  static String hex(byte[] bytes) {
    StringBuilder text = new StringBuilder();
    for (byte one : bytes) text.append(String.format("%02x", one & 0xff));
    return text.toString();
  }

  /** Notes when bytes were last taken, for the watchdog. */
  private static final class NotingStream extends OutputStream {
    private final OutputStream out;
    private final long[] lastWrite;

    NotingStream(OutputStream out, long[] lastWrite) {
      this.out = out;
      this.lastWrite = lastWrite;
    }

    @Override
    public void write(int one) throws IOException {
      out.write(one);
    }

    @Override
    public void write(byte[] bytes, int start, int length) throws IOException {
      out.write(bytes, start, length);
      lastWrite[0] = System.currentTimeMillis();
    }
  }
}
