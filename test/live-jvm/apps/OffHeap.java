import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.List;

/** Holds so many MiB in direct buffers and next to nothing in its heap. Says "ready", ends with its input. */
public class OffHeap {
  static final List<ByteBuffer> kept = new ArrayList<>();

  public static void main(String[] arguments) throws Exception {
    for (int count = Integer.parseInt(arguments[0]); count > 0; count--) {
      kept.add(ByteBuffer.allocateDirect(1024 * 1024));
    }
    System.out.println("ready");
    while (System.in.read() != -1) {}
  }
}
