package dev.heapcatch.exec;

import java.io.File;
import java.io.IOException;
import java.io.OutputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.Map;

/**
 * What a capture that is relayed leaves in its directory, for {@link Relay} to serve: `records` grows by a line of JSON
 * and the bytes that it announces, `dump` is a link to the dump's file, `end` is there when neither grows any more.
 * All of it goes when somebody makes `done`, or when the capture's time is over.
 */
final class Spool {
  private static final int pollMillis = 100;

  final Path folder;
  private final OutputStream records;

  /** @throws Fault NoWritableDirectory. */
  Spool(Path folder) throws Fault {
    this.folder = folder;
    try {
      records = Files.newOutputStream(folder.resolve("records"));
    } catch (IOException failed) {
      throw new Fault("NoWritableDirectory", "the relay's directory cannot be written to");
    }
  }

  /** @throws Fault DumpPlaceUnavailable. */
  void evidence(String artifact, byte[] body) throws Fault {
    Map<String, Object> head = new LinkedHashMap<>();
    head.put("kind", "evidence");
    head.put("artifact", artifact);
    head.put("bytes", body.length);
    write(head, body);
  }

  /** The file need not be there yet. @throws Fault DumpPlaceUnavailable. */
  void dump(File file) throws Fault {
    try {
      Files.createSymbolicLink(folder.resolve("dump"), file.toPath());
    } catch (IOException | UnsupportedOperationException failed) {
      throw new Fault("DumpPlaceUnavailable", "the relay's directory takes no symbolic link");
    }
  }

  /** The last record. @throws Fault DumpPlaceUnavailable. */
  void end(Map<String, Object> account) throws Fault {
    Map<String, Object> head = new LinkedHashMap<>();
    head.put("kind", "end");
    head.put("account", account);
    write(head, new byte[0]);
    try {
      records.close();
      Files.createFile(folder.resolve("end"));
    } catch (IOException failed) {
      throw new Fault("DumpPlaceUnavailable", "the relay's directory cannot be written to");
    }
  }

  /** Returns when everything was taken, or nobody can take it any more. */
  void awaitDone(long deadline) throws InterruptedException {
    while (!Files.exists(folder.resolve("done")) && System.currentTimeMillis() < deadline) {
      Thread.sleep(pollMillis);
    }
  }

  void remove() {
    for (String name : new String[] {"agent.jar", "records", "dump", "end", "done"}) {
      folder.resolve(name).toFile().delete();
    }
    folder.toFile().delete();
  }

  private void write(Map<String, Object> head, byte[] body) throws Fault {
    try {
      records.write((Json.write(head) + "\n").getBytes(StandardCharsets.US_ASCII));
      records.write(body);
      records.flush();
    } catch (IOException failed) {
      throw new Fault("DumpPlaceUnavailable", "the relay's directory cannot be written to");
    }
  }
}
