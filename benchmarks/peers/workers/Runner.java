import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.sun.management.OperatingSystemMXBean;
import io.confluent.parallelconsumer.ParallelConsumerOptions;
import io.confluent.parallelconsumer.ParallelConsumerOptions.CommitMode;
import io.confluent.parallelconsumer.ParallelConsumerOptions.ProcessingOrder;
import io.confluent.parallelconsumer.ParallelStreamProcessor;
import java.io.FileOutputStream;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.lang.management.ManagementFactory;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.List;
import java.util.Properties;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.atomic.AtomicLong;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;

/**
 * Parallel Consumer by key, told by JSON and answering with JSON as the workers in Python do.
 *
 * <p>A run that is measured comes after one over the same records in another group, so that the
 * virtual machine has compiled what it will run.
 */
public final class Runner {
    private static final ObjectMapper JSON = new ObjectMapper();
    private static final int CONCURRENCY = 16;
    private static final int PASSES_BEFORE = 1;

    private final JsonNode errand;
    private final long wanted;
    private final FileOutputStream journal;
    private final AtomicLong handled = new AtomicLong();
    private final AtomicLong beginNanos = new AtomicLong();
    private final AtomicLong beginCpu = new AtomicLong();
    private final CountDownLatch done = new CountDownLatch(1);

    private Runner(JsonNode errand) throws IOException {
        this.errand = errand;
        this.wanted = errand.get("records").asLong();
        String path = errand.get("journal").asText();
        this.journal = path.isEmpty() ? null : new FileOutputStream(path, true);
    }

    public static void main(String[] arguments) throws Exception {
        JsonNode errand = JSON.readTree(arguments[0]);
        if (errand.get("journal").asText().isEmpty()) {
            for (int pass = 0; pass < PASSES_BEFORE; pass++) {
                new Runner(errand).run("-warm-" + pass);
            }
        }
        System.out.println("\n" + new Runner(errand).run(""));
        System.out.flush();
        Runtime.getRuntime().halt(0);
    }

    private String run(String suffix) throws InterruptedException {
        ParallelStreamProcessor<byte[], byte[]> processor =
                ParallelStreamProcessor.createEosStreamProcessor(options(suffix));
        processor.subscribe(List.of(errand.get("topic").asText()));
        processor.poll(context -> handle(context.value()));
        done.await();
        double seconds = (System.nanoTime() - beginNanos.get()) / 1e9;
        double cpu = (cpuNanos() - beginCpu.get()) / 1e9;
        processor.closeDontDrainFirst(Duration.ofSeconds(10));
        return String.format(
                "{\"records\": %d, \"seconds\": %s, \"cpu_s\": %s}", handled.get(), seconds, cpu);
    }

    private ParallelConsumerOptions<byte[], byte[]> options(String suffix) {
        Properties settings = new Properties();
        settings.put("bootstrap.servers", errand.get("bootstrap").asText());
        settings.put("group.id", errand.get("group").asText() + suffix);
        settings.put("enable.auto.commit", "false");
        settings.put("auto.offset.reset", "earliest");
        settings.put("session.timeout.ms", "6000");
        settings.put("heartbeat.interval.ms", "1000");
        var consumer = new KafkaConsumer<>(settings, new ByteArrayDeserializer(), new ByteArrayDeserializer());
        return ParallelConsumerOptions.<byte[], byte[]>builder()
                .ordering(ProcessingOrder.KEY)
                .commitMode(CommitMode.PERIODIC_CONSUMER_ASYNCHRONOUS)
                .commitInterval(Duration.ofSeconds(1))
                .maxConcurrency(CONCURRENCY)
                .consumer(consumer)
                .build();
    }

    private void handle(byte[] value) {
        if (beginNanos.compareAndSet(0, System.nanoTime())) {
            beginCpu.set(cpuNanos());
        }
        try {
            switch (errand.get("handler").asText()) {
                case "noop" -> { }
                case "json" -> JSON.readTree(value);
                default -> tell(JSON.readTree(value));
            }
        } catch (IOException failure) {
            throw new UncheckedIOException(failure);
        }
        if (handled.incrementAndGet() == wanted) {
            done.countDown();
        }
    }

    private void tell(JsonNode value) throws IOException {
        String record = " " + value.get("key").asText() + " " + value.get("number").asLong() + "\n";
        journal.write(("B" + record).getBytes(StandardCharsets.UTF_8));
        try {
            Thread.sleep(errand.get("wait_ms").asLong());
        } catch (InterruptedException stopped) {
            Thread.currentThread().interrupt();
            return;
        }
        journal.write(("E" + record).getBytes(StandardCharsets.UTF_8));
    }

    private static long cpuNanos() {
        return ((OperatingSystemMXBean) ManagementFactory.getOperatingSystemMXBean()).getProcessCpuTime();
    }
}
