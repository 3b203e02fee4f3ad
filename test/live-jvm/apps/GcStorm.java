import java.lang.management.GarbageCollectorMXBean;
import java.lang.management.ManagementFactory;
import java.util.ArrayList;
import java.util.List;

/**
 * Fills its heap until nothing more fits, then goes on allocating, so that it collects back to back. Says "ready" after
 * so many collections in that state, ends with its input.
 */
public class GcStorm {
  static final List<byte[]> kept = new ArrayList<>();
  static volatile byte[] passing;

  public static void main(String[] arguments) throws Exception {
    // Loaded while there is room for their classes.
    long before = collectionCount();
    try {
      while (true) kept.add(new byte[16 * 1024]);
    } catch (OutOfMemoryError full) {
      for (int count = 0; count < 64; count++) kept.remove(kept.size() - 1);
    }
    before = collectionCount();
    Thread storm = new Thread(new Storm(), "storm");
    storm.setDaemon(true);
    storm.start();
    while (collectionCount() < before + Integer.parseInt(arguments[0])) Thread.sleep(5);
    System.out.println("ready");
    while (System.in.read() != -1) {}
  }

  static final class Storm implements Runnable {
    @Override
    public void run() {
      while (true) {
        try {
          passing = new byte[16 * 1024];
        } catch (OutOfMemoryError full) {
          if (!kept.isEmpty()) kept.remove(kept.size() - 1);
        }
      }
    }
  }

  static long collectionCount() {
    long count = 0;
    for (GarbageCollectorMXBean bean : ManagementFactory.getGarbageCollectorMXBeans()) {
      count += bean.getCollectionCount();
    }
    return count;
  }
}
