import java.util.ArrayList;
import java.util.List;
import java.util.Random;

/**
 * Holds a heap that hardly compresses: so many MiB in small arrays, then one array of so many MiB. Says "ready",
 * ends with its input.
 */
public class RandomHeap {
  static final List<byte[]> small = new ArrayList<>();
  static byte[] large;
  static String marker;

  public static void main(String[] arguments) throws Exception {
    marker = arguments[2];
    Random random = new Random(42);
    for (int count = Integer.parseInt(arguments[0]) * 256; count > 0; count--) {
      small.add(filled(random, 4096));
    }
    large = filled(random, Integer.parseInt(arguments[1]) * 1024 * 1024);
    System.out.println("ready");
    while (System.in.read() != -1) {}
  }

  static byte[] filled(Random random, int length) {
    byte[] bytes = new byte[length];
    random.nextBytes(bytes);
    return bytes;
  }
}
