package dev.heapcatch.exec;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;

/**
 * Describes a process by what the kernel shows of it (lib/agent/process-evidence.ts): state, limits, memory, and every
 * thread. Arguments and environment are left out: secrets stand in them. The JVM is not asked.
 */
final class ProcessText {
  private static final int maxTaskCount = 1_000;
  private static final int maxFileBytes = 16 * 1024;
  private static final String[] files = {
    "status", "limits", "cgroup", "schedstat", "oom_score", "smaps_rollup"
  };

  private ProcessText() {}

  static String of(Path procRoot, int pid) {
    Path folder = procRoot.resolve(String.valueOf(pid));
    StringBuilder text = new StringBuilder("# process " + pid + "\n");
    for (String name : files) {
      String content = read(folder.resolve(name));
      if (!content.isEmpty()) text.append("\n## ").append(name).append('\n').append(content);
    }
    String[] tasks = folder.resolve("task").toFile().list();
    if (tasks == null) return text.toString();
    text.append("\n## threads\ncount ").append(tasks.length);
    text.append("\ntid state userTicks systemTicks name\n");
    for (int at = 0; at < Math.min(tasks.length, maxTaskCount); at++) {
      text.append(taskLine(read(folder.resolve("task/" + tasks[at] + "/stat"))));
    }
    return text.toString();
  }

  /** Fields 1 to 3, 14 and 15 of stat. The name in field 2 may hold blanks and parentheses. Source: proc(5). */
  private static String taskLine(String stat) {
    int nameStart = stat.indexOf('(');
    int nameEnd = stat.lastIndexOf(')');
    if (nameStart < 0 || nameEnd < nameStart) return "";
    String[] fields = stat.substring(nameEnd + 1).trim().split(" ");
    if (fields.length < 13) return "";
    String name = stat.substring(nameStart + 1, nameEnd).replaceAll("[^ -~]", "?");
    String tid = stat.substring(0, nameStart).trim();
    return tid + " " + fields[0] + " " + fields[11] + " " + fields[12] + " " + name + "\n";
  }

  private static String read(Path path) {
    try {
      return Jvm.read(path, maxFileBytes);
    } catch (IOException unreadable) {
      return "";
    }
  }
}
