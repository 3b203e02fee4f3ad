import java.util.ArrayList;
import java.util.List;

/**
 * Holds one secret in each place where a heap can hold a value, made when it runs: a literal would stand in the class
 * file, and its text in the dump's names. Says "ready", ends with its input.
 */
public class SecretHeap {
  static class Holder {
    final String text;
    final Object self = this;
    final long number;
    final byte[] bytes;
    final char[] chars;
    final int[] ints;

    Holder(String text, long seed) {
      this.text = text;
      this.number = seed + 1;
      this.bytes = text.replace('s', 'b').getBytes();
      this.chars = text.replace('s', 'c').toCharArray();
      this.ints = new int[] {(int) (seed >>> 32), (int) seed, (int) (seed >>> 32)};
    }
  }

  static final class Child extends Holder {
    final double fraction;

    Child(String text, long seed) {
      super(text, seed);
      this.fraction = Double.longBitsToDouble(seed + 2);
    }
  }

  static final List<Object> held = new ArrayList<>();
  static long staticNumber;

  public static void main(String[] arguments) throws Exception {
    String text = new StringBuilder(arguments[0]).reverse().toString();
    long seed = Long.parseLong(arguments[1]);
    for (int count = 0; count < 1000; count++) held.add(new Child(text, seed));
    held.add(Long.valueOf(seed + 3));
    staticNumber = seed + 4;
    System.out.println("ready");
    while (System.in.read() != -1) {}
  }
}
