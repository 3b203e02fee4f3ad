package dev.heapcatch.exec;

import java.io.File;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.Paths;

/** Where the JVM is to write its dump (lib/agent/dump-place.ts), and the files that it leaves there. */
final class DumpPlace {
  private static final int maxSegmentCount = 64;

  final File file;

  private DumpPlace(File file) {
    this.file = file;
  }

  /** @throws Fault DumpPlaceUnavailable: names each directory and what speaks against it. */
  static DumpPlace find(Ticket.HeapDump order, String fileName, long neededBytes) throws Fault {
    StringBuilder refusals = new StringBuilder();
    for (String directory : order.directories) {
      String refusal = refusalOf(directory, fileName, neededBytes);
      Long limitBytes = order.sizeLimits.get(directory);
      if (refusal == null && limitBytes != null && limitBytes < neededBytes) {
        refusal = "may take " + limitBytes + " bytes by its limit";
      }
      if (refusal == null) return new DumpPlace(new File(directory, fileName));
      refusals.append(refusals.length() == 0 ? "" : "; ").append(directory).append(": ").append(refusal);
    }
    throw new Fault(
        "DumpPlaceUnavailable",
        "no directory of the container can take a dump of " + neededBytes + " bytes: " + refusals);
  }

  private static String refusalOf(String directory, String fileName, long neededBytes) {
    Path path = Paths.get(directory);
    if (!Files.exists(path)) return "does not exist";
    if (!Files.isDirectory(path)) return "is not a directory";
    // The JVM would read the path as something else, or end its command at it.
    if (!directory.matches("[^\\p{Cntrl}\\\\%'\"]{1,800}")) return "has characters that the JVM would not take";
    try {
      String type = typeOf(path.toRealPath());
      if (type.equals("tmpfs") || type.equals("ramfs") || type.equals("hugetlbfs")) {
        return "is on " + type + ", which counts to the container's memory";
      }
    } catch (IOException unreadable) {
      return "cannot be resolved";
    }
    if (!Files.isWritable(path)) return "may not be written to";
    long freeBytes = path.toFile().getUsableSpace();
    if (freeBytes < neededBytes) return "has " + freeBytes + " bytes free";
    return Files.exists(path.resolve(fileName)) ? "holds " + fileName + " already" : null;
  }

  /** File system type of the mount that holds the path. Source: proc(5), mountinfo; the last of equal mounts is on top. */
  private static String typeOf(Path path) throws IOException {
    String type = "";
    int longest = -1;
    for (String line : Files.readAllLines(Paths.get("/proc/self/mountinfo"), StandardCharsets.ISO_8859_1)) {
      String[] fields = line.split(" ");
      int separator = line.indexOf(" - ");
      if (fields.length < 5 || separator < 0) continue;
      Path mount = Paths.get(fields[4].replace("\\040", " "));
      if (path.startsWith(mount) && mount.getNameCount() >= longest) {
        longest = mount.getNameCount();
        type = line.substring(separator + 3).split(" ")[0];
      }
    }
    return type;
  }

  /** Bytes in the segment files of JDK 22 and later, which grow while the dump itself rests. */
  long segmentBytes() {
    long bytes = 0;
    for (int index = 0; index < maxSegmentCount; index++) bytes += segment(index).length();
    return bytes;
  }

  void remove() {
    file.delete();
    for (int index = 0; index < maxSegmentCount; index++) segment(index).delete();
  }

  private File segment(int index) {
    return new File(file.getPath() + ".p" + index);
  }
}
