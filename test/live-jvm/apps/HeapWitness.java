import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CountDownLatch;

/** Holds a known number of Marker instances and threads in known states, says "ready", ends with its input. */
public class HeapWitness {
  static final class Marker {
    final int number;
    final String text;

    Marker(int number, String text) {
      this.number = number;
      this.text = text;
    }
  }

  static final List<Marker> markers = new ArrayList<>();
  /** Fewer instances of larger size, more than one part of a dump in one record. */
  static long[] largeArray;

  public static void main(String[] arguments) throws Exception {
    int markerCount = Integer.parseInt(arguments[0]);
    String text = arguments[1];
    largeArray = new long[Integer.parseInt(arguments[2])];
    for (int number = 0; number < markerCount; number++) markers.add(new Marker(number, text));
    Object first = new Object();
    Object second = new Object();
    CountDownLatch bothHeld = new CountDownLatch(2);
    startDaemon("deadlocked-1", () -> lockBoth(first, second, bothHeld));
    startDaemon("deadlocked-2", () -> lockBoth(second, first, bothHeld));
    bothHeld.await();
    System.out.println("ready");
    while (System.in.read() != -1) {}
  }

  static void lockBoth(Object one, Object other, CountDownLatch bothHeld) {
    synchronized (one) {
      bothHeld.countDown();
      try {
        bothHeld.await();
      } catch (InterruptedException interrupted) {
        return;
      }
      synchronized (other) {
        throw new IllegalStateException("not reached");
      }
    }
  }

  static void startDaemon(String name, Runnable work) {
    Thread thread = new Thread(work, name);
    thread.setDaemon(true);
    thread.start();
  }
}
