import com.microsoft.gctoolkit.GCToolKit;
import com.microsoft.gctoolkit.aggregator.Aggregates;
import com.microsoft.gctoolkit.aggregator.Aggregation;
import com.microsoft.gctoolkit.aggregator.Aggregator;
import com.microsoft.gctoolkit.aggregator.Collates;
import com.microsoft.gctoolkit.aggregator.EventSource;
import com.microsoft.gctoolkit.event.GCEvent;
import com.microsoft.gctoolkit.event.g1gc.G1Cleanup;
import com.microsoft.gctoolkit.event.g1gc.G1GCPauseEvent;
import com.microsoft.gctoolkit.event.g1gc.G1Remark;
import com.microsoft.gctoolkit.event.generational.CMSPhase;
import com.microsoft.gctoolkit.event.generational.GenerationalGCPauseEvent;
import com.microsoft.gctoolkit.io.SingleGCLogFile;
import java.nio.file.Path;
import java.util.logging.Level;
import java.util.logging.Logger;

/**
 * Reads one GC log with GCToolKit and counts its collections: twice, of which the second time counts, so that the code is
 * compiled. Prints one JSON object.
 */
public class GcToolkitRun {
    @Collates(Counter.class)
    public static class Collections extends Aggregation {
        int count;
        double seconds;

        @Override
        public boolean hasWarning() {
            return false;
        }

        @Override
        public boolean isEmpty() {
            return count == 0;
        }
    }

    @Aggregates({EventSource.G1GC, EventSource.GENERATIONAL, EventSource.CMS_UNIFIED})
    public static class Counter extends Aggregator<Collections> {
        public Counter(Collections collections) {
            super(collections);
            register(G1GCPauseEvent.class, this::add);
            register(GenerationalGCPauseEvent.class, this::add);
        }

        /** Collections, not the short pauses of concurrent ones: GCToolKit does not report all of those. */
        private void add(GCEvent event) {
            if (event instanceof G1Remark || event instanceof G1Cleanup || event instanceof CMSPhase) return;
            aggregation().count++;
            aggregation().seconds += event.getDuration();
        }
    }

    public static void main(String[] args) throws Exception {
        Logger.getLogger("").setLevel(Level.OFF);
        run(Path.of(args[0]));
        long start = System.nanoTime();
        Collections collections = run(Path.of(args[0]));
        double seconds = (System.nanoTime() - start) / 1e9;
        System.out.printf(
                java.util.Locale.ROOT,
                "{\"seconds\":%.6f,\"collectionCount\":%d,\"pauseSeconds\":%.6f}%n",
                seconds, collections.count, collections.seconds);
        System.exit(0);
    }

    private static Collections run(Path file) throws Exception {
        GCToolKit toolkit = new GCToolKit();
        toolkit.loadAggregation(new Collections());
        return toolkit.analyze(new SingleGCLogFile(file)).getAggregation(Collections.class).orElseThrow();
    }
}
