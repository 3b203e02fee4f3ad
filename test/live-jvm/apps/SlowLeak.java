import java.util.ArrayList;
import java.util.List;

/**
 * Keeps MIB (its first argument) of small objects and makes garbage all the while. Each line of input keeps one MiB more.
 * Says "ready" when the first are kept, ends with its input.
 */
public class SlowLeak {
  static final List<byte[]> kept = new ArrayList<>();
  static volatile byte[] passing;

  public static void main(String[] arguments) throws Exception {
    keep(Integer.parseInt(arguments[0]));
    Thread garbage = new Thread(SlowLeak::makeGarbage, "garbage");
    garbage.setDaemon(true);
    garbage.start();
    System.out.println("ready");
    for (int character; (character = System.in.read()) != -1; ) if (character == '\n') keep(1);
  }

  static void keep(int mebibytes) {
    synchronized (kept) {
      for (int count = 0; count < mebibytes * 64; count++) kept.add(new byte[16 * 1024 - 32]);
    }
  }

  static void makeGarbage() {
    try {
      while (true) {
        for (int count = 0; count < 64; count++) passing = new byte[16 * 1024];
        Thread.sleep(10);
      }
    } catch (InterruptedException ended) {
      Thread.currentThread().interrupt();
    }
  }
}
