import java.util.ArrayList;
import java.util.List;

/** Holds a marker and fills the heap until the JVM gives up; with an argument it waits for the end of its input instead. */
public class OutOfMemory {
  static final class Marker {
    final String text = "heapcatch-agent-marker";
  }

  static final Marker marker = new Marker();
  static final List<byte[]> kept = new ArrayList<>();

  public static void main(String[] arguments) throws Exception {
    System.out.println("ready");
    if (arguments.length > 0) {
      while (System.in.read() != -1) {}
      return;
    }
    while (true) kept.add(new byte[100_000]);
  }
}
