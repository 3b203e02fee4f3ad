import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import java.io.IOException;
import java.lang.management.ManagementFactory;
import java.lang.management.MemoryUsage;
import java.net.InetSocketAddress;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.concurrent.Executors;

/**
 * A service with a leak, as the demo, the e2e suite and the benchmarks need one: it keeps sessions for ever and answers
 * its liveness probe with 503 once the heap is nearly full.
 *
 * <p>Environment: LISTEN_ADDRESS (0.0.0.0), LISTEN_PORT (8080), MARKER (text of the marker object),
 * FILL_MIB (kept from the start, 0), LEAK_MIB_PER_SECOND (0: leaks nothing until asked to).
 * Requests: /healthz, /leak?MIB_PER_SECOND, /fail (unhealthy from now on), /used; and ways to die: /storm (live data up to
 * 92 % and garbage from then on, so that full GCs follow each other), /exhaust (OutOfMemoryError), /direct (direct buffers
 * without end), /fill?MIB (a file of that size in /tmp). /files?DIRECTORY names what lies in it.
 */
public final class LeakingApplication {
    /** What a dump of this application must contain: found by class name and by text. */
    static final class Marker {
        final String text;

        Marker(String text) {
            this.text = text;
        }
    }

    static final class Session {
        final String user;
        final byte[] cart;
        final long[] visits = new long[64];
        private static final byte[] noise = new byte[5 * 1024];

        Session(int number, int bytes) {
            user = "user-" + number;
            cart = new byte[bytes];
            // A third is noise, so that it compresses as heaps do: about 3 to 1.
            new Random(number).nextBytes(noise);
            System.arraycopy(noise, 0, cart, 0, noise.length);
            for (int i = noise.length; i < bytes; i++) cart[i] = (byte) (i >> 4);
        }
    }

    static final class SessionCache {
        final Map<Integer, Session> entries = new HashMap<>();

        synchronized void add(int mebibytes) {
            for (int i = 0; i < mebibytes * 64; i++) {
                int number = entries.size();
                entries.put(number, new Session(number, 15 * 1024));
            }
        }
    }

    static final SessionCache sessions = new SessionCache();
    static Marker marker;
    static volatile int leakMebibytesPerSecond;
    static volatile boolean failing;

    public static void main(String[] args) throws Exception {
        marker = new Marker(setting("MARKER", "no marker"));
        leakMebibytesPerSecond = Integer.parseInt(setting("LEAK_MIB_PER_SECOND", "0"));
        sessions.add(Integer.parseInt(setting("FILL_MIB", "0")));
        int port = Integer.parseInt(setting("LISTEN_PORT", "8080"));
        HttpServer server = HttpServer.create(new InetSocketAddress(setting("LISTEN_ADDRESS", "0.0.0.0"), port), 64);
        server.setExecutor(Executors.newFixedThreadPool(4));
        server.createContext("/healthz", exchange -> answer(exchange, healthy() ? 200 : 503, share() + " of the heap\n"));
        server.createContext("/used", exchange -> answer(exchange, 200, share() + "\n"));
        server.createContext("/fail", exchange -> {
            failing = true;
            answer(exchange, 200, "unhealthy from now on\n");
        });
        server.createContext("/leak", exchange -> {
            leakMebibytesPerSecond = numberIn(exchange);
            answer(exchange, 200, "leaking\n");
        });
        server.createContext("/files", exchange -> {
            // kubectl makes "?/tmp=" of "?/tmp".
            String directory = exchange.getRequestURI().getQuery().replaceFirst("=$", "");
            String[] names = new java.io.File(directory).list();
            answer(exchange, 200, String.join("\n", names) + "\n");
        });
        for (Map.Entry<String, Runnable> way : waysToDie().entrySet()) {
            server.createContext(way.getKey(), exchange -> {
                answer(exchange, 200, "begun\n");
                new Thread(way.getValue(), way.getKey()).start();
            });
        }
        server.createContext("/fill", exchange -> {
            int mebibytes = numberIn(exchange);
            Path file = Path.of("/tmp/filled");
            for (int i = 0; i < mebibytes; i++) {
                Files.write(file, new byte[1 << 20], java.nio.file.StandardOpenOption.CREATE, java.nio.file.StandardOpenOption.APPEND);
            }
            answer(exchange, 200, "filled\n");
        });
        server.start();
        System.out.println("listening");
        while (true) {
            Thread.sleep(250);
            // It stops short of an OutOfMemoryError: what kills it is its probe.
            if (leakMebibytesPerSecond > 0 && healthy()) sessions.add(Math.max(1, leakMebibytesPerSecond / 4));
        }
    }

    static volatile Object garbage;

    static Map<String, Runnable> waysToDie() {
        return Map.of(
            "/storm", () -> {
                while (share() < 0.92) sessions.add(1);
                while (true) garbage = new byte[256 * 1024];
            },
            "/exhaust", () -> {
                while (true) sessions.add(1);
            },
            "/direct", () -> {
                List<ByteBuffer> buffers = new ArrayList<>();
                while (true) {
                    ByteBuffer buffer = ByteBuffer.allocateDirect(4 << 20);
                    // Only touched pages count to the container.
                    for (int at = 0; at < buffer.capacity(); at += 4096) buffer.put(at, (byte) 1);
                    buffers.add(buffer);
                }
            });
    }

    static boolean healthy() {
        return !failing && share() < 0.85;
    }

    static double share() {
        MemoryUsage heap = ManagementFactory.getMemoryMXBean().getHeapMemoryUsage();
        return (double) heap.getUsed() / heap.getMax();
    }

    /** Of a query that is a number alone; kubectl's own way to a pod makes `400=` of it. */
    static int numberIn(HttpExchange exchange) {
        return Integer.parseInt(exchange.getRequestURI().getQuery().replaceFirst("=$", ""));
    }

    static String setting(String name, String fallback) {
        String value = System.getenv(name);
        return value == null || value.isEmpty() ? fallback : value;
    }

    static void answer(HttpExchange exchange, int status, String text) throws IOException {
        byte[] body = text.getBytes(StandardCharsets.UTF_8);
        exchange.sendResponseHeaders(status, body.length);
        exchange.getResponseBody().write(body);
        exchange.close();
    }
}
