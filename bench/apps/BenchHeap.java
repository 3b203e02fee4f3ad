import java.util.ArrayList;
import java.util.List;
import java.util.Random;

/**
 * Holds a heap of so many MiB in one of two shapes, says "ready", ends with its input. Arguments: `objects` (many
 * small objects) or `arrays` (64 KiB each, a third of it noise, so that it compresses as heaps do); MiB; and
 * `allocating` or `idle`. When allocating it prints each time in which it could not for 20 ms or longer:
 * "stall EPOCH_MILLIS_OF_ITS_END LENGTH_IN_MILLIS".
 */
public final class BenchHeap {
  static final class Entry {
    Entry neighbour;
    long key;
    int count;
  }

  static final int stallMillis = 20;
  static final List<Object> held = new ArrayList<>();
  static volatile Object garbage;

  public static void main(String[] arguments) throws Exception {
    boolean objects = arguments[0].equals("objects");
    if (!objects && !arguments[0].equals("arrays")) throw new IllegalArgumentException(arguments[0]);
    int mebibytes = Integer.parseInt(arguments[1]);
    Random random = new Random(42);
    for (int i = 0; i < mebibytes; i++) held.add(objects ? entries(random) : blocks(random));
    if (arguments[2].equals("allocating")) {
      Thread thread = new Thread(BenchHeap::allocate, "allocating");
      thread.setDaemon(true);
      thread.start();
    }
    System.out.println("ready");
    while (System.in.read() != -1) {}
  }

  /** About 1 MiB: 32 bytes an object, 4 bytes for its reference. */
  static Object entries(Random random) {
    Entry[] entries = new Entry[29_000];
    for (int i = 0; i < entries.length; i++) {
      entries[i] = new Entry();
      entries[i].neighbour = entries[i == 0 ? 0 : random.nextInt(i)];
      entries[i].key = random.nextInt(1_000_000);
      entries[i].count = i;
    }
    return entries;
  }

  static Object blocks(Random random) {
    byte[][] blocks = new byte[16][];
    byte[] noise = new byte[21 * 1024];
    for (int i = 0; i < blocks.length; i++) {
      byte[] block = new byte[65_520];
      random.nextBytes(noise);
      System.arraycopy(noise, 0, block, 0, noise.length);
      for (int at = noise.length; at < block.length; at++) block[at] = (byte) (at >> 4);
      blocks[i] = block;
    }
    return blocks;
  }

  static void allocate() {
    long last = System.nanoTime();
    while (true) {
      garbage = new byte[4096];
      long now = System.nanoTime();
      long millis = (now - last) / 1_000_000;
      if (millis >= stallMillis) System.out.println("stall " + System.currentTimeMillis() + " " + millis);
      last = now;
      // Some 100 MiB a second, which is a busy service; without the pause it would measure the collector.
      if ((now & 7) == 0) Thread.onSpinWait();
      else java.util.concurrent.locks.LockSupport.parkNanos(40_000);
    }
  }
}
