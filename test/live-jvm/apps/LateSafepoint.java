/**
 * Runs a loop of so many steps again and again, that has no safepoint poll in it with -XX:-UseCountedLoopSafepoints. Says
 * "ready" when the loop runs as compiled code, ends with its input.
 */
public class LateSafepoint {
  static volatile long sum;

  public static void main(String[] arguments) throws Exception {
    int steps = Integer.parseInt(arguments[0]);
    for (int count = 0; count < 20_000; count++) sum += loop(100);
    Thread looping =
        new Thread("looping") {
          @Override
          public void run() {
            while (true) sum += loop(steps);
          }
        };
    looping.setDaemon(true);
    looping.start();
    System.out.println("ready");
    while (System.in.read() != -1) {}
  }

  static long loop(int steps) {
    long state = 1;
    for (int step = 0; step < steps; step++) {
      state = state * 6364136223846793005L / (state | 1) + step;
    }
    return state;
  }
}
