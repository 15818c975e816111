import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.BufferedReader;
import java.io.PrintStream;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collection;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.TreeMap;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.Future;
import java.util.function.BooleanSupplier;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;

/** One run of a scenario: a broker's address, names that no other run uses, clients that end with it. */
class Case implements AutoCloseable {
    /** After this a scenario goes on without what it waited for, and so differs. */
    static final Duration WAIT = Duration.ofSeconds(20);

    static final Duration MOMENT = Duration.ofMillis(50);

    private static final ObjectMapper JSON = new ObjectMapper();

    private final String bootstrap;
    private final String ending;
    private final BufferedReader input;
    private final PrintStream output;
    private final List<AutoCloseable> clients = new ArrayList<>();
    private Admin admin;

    Case(String bootstrap, String ending, BufferedReader input, PrintStream output) {
        this.bootstrap = bootstrap;
        this.ending = ending;
        this.input = input;
        this.output = output;
    }

    String name(String word) {
        return word + ending;
    }

    /** Adds a line to the transcript. */
    void saw(String what, Object... values) throws Exception {
        List<Object> line = new ArrayList<>();
        line.add(what);
        line.addAll(Arrays.asList(values));
        say(line);
    }

    void say(Object what) throws Exception {
        output.println(JSON.writeValueAsString(what));
    }

    /** Has the broker restarted, and waits for that. */
    void restart() throws Exception {
        say("restart");
        input.readLine();
    }

    Admin admin() {
        if (admin == null) {
            admin = keep(Admin.create(properties()));
        }
        return admin;
    }

    String topic(String word, int partitions) throws Exception {
        String topic = name(word);
        admin().createTopics(List.of(new NewTopic(topic, partitions, (short) 1))).all().get();
        return topic;
    }

    /** A producer with these settings, by name and value in turn. */
    KafkaProducer<String, String> producer(Object... settings) {
        Properties properties = properties("linger.ms", "0", "retry.backoff.ms", "20");
        add(properties, settings);
        return keep(new KafkaProducer<>(properties, new StringSerializer(), new StringSerializer()));
    }

    KafkaProducer<String, String> transactional(String id, Object... settings) {
        KafkaProducer<String, String> producer = producer(concat(settings, "transactional.id", name(id)));
        producer.initTransactions();
        return producer;
    }

    /** A consumer that reads from the beginning, with little delay. */
    KafkaConsumer<String, String> consumer(Object... settings) {
        Properties properties = properties("auto.offset.reset", "earliest", "fetch.max.wait.ms", "20");
        add(properties, "enable.auto.commit", "false", "retry.backoff.ms", "20");
        add(properties, settings);
        return keep(new KafkaConsumer<>(properties, new StringDeserializer(), new StringDeserializer()));
    }

    /** A member of the case's group. */
    KafkaConsumer<String, String> member(Object... settings) {
        boolean newer = Arrays.asList(settings).contains("consumer");
        Object[] classic = {"heartbeat.interval.ms", "100", "session.timeout.ms", "6000"};
        Object[] common = concat(newer ? new Object[0] : classic, "group.id", name("group"));
        return consumer(concat(common, settings));
    }

    private Properties properties(Object... settings) {
        Properties properties = new Properties();
        add(properties, "bootstrap.servers", bootstrap, "reconnect.backoff.max.ms", "100");
        add(properties, settings);
        return properties;
    }

    private static void add(Properties properties, Object... settings) {
        for (int at = 0; at < settings.length; at += 2) {
            properties.put(settings[at], settings[at + 1]);
        }
    }

    static Object[] concat(Object[] first, Object... second) {
        Object[] both = Arrays.copyOf(first, first.length + second.length);
        System.arraycopy(second, 0, both, first.length, second.length);
        return both;
    }

    /** Sends values to a partition one after the other; returns where each is, or its error. */
    List<Object> send(KafkaProducer<String, String> producer, String topic, int partition, String... values) {
        List<Object> places = new ArrayList<>();
        for (String value : values) {
            places.add(result(() -> place(producer.send(new ProducerRecord<>(topic, partition, null, value)))));
        }
        return places;
    }

    static Object place(Future<RecordMetadata> sent) throws Exception {
        return sent.get().offset();
    }

    /** Everything in a topic that a reader of this isolation sees now: values by partition. */
    Map<Integer, List<String>> read(String topic, String isolation) {
        Map<Integer, List<String>> values = new TreeMap<>();
        try (KafkaConsumer<String, String> reader = consumer("isolation.level", isolation)) {
            List<TopicPartition> all = reader.partitionsFor(topic).stream()
                    .map(each -> new TopicPartition(topic, each.partition())).toList();
            reader.assign(all);
            Map<TopicPartition, Long> ends = reader.endOffsets(all);
            ends.forEach((partition, end) -> values.put(partition.partition(), new ArrayList<>()));
            await(() -> {
                for (ConsumerRecord<String, String> record : reader.poll(MOMENT)) {
                    values.get(record.partition()).add(record.value());
                }
                return ends.entrySet().stream().allMatch(each -> reader.position(each.getKey()) >= each.getValue());
            });
        }
        return values;
    }

    List<String> committed(String topic) {
        return read(topic, "read_committed").values().stream().flatMap(Collection::stream).toList();
    }

    List<String> uncommitted(String topic) {
        return read(topic, "read_uncommitted").values().stream().flatMap(Collection::stream).toList();
    }

    /** Polls until there are so many records; returns their values. */
    List<String> poll(KafkaConsumer<String, String> consumer, int count) {
        List<String> values = new ArrayList<>();
        await(() -> {
            consumer.poll(MOMENT).forEach(record -> values.add(record.value()));
            return values.size() >= count;
        });
        return values;
    }

    /** Waits until it is so; tells whether it ever was. */
    static boolean await(BooleanSupplier condition) {
        long end = System.nanoTime() + WAIT.toNanos();
        while (!condition.getAsBoolean()) {
            if (System.nanoTime() > end) {
                return false;
            }
            Thread.onSpinWait();
        }
        return true;
    }

    /** What a call returns, or the name of what it throws. */
    static Object result(Callable<?> call) {
        try {
            return call.call();
        } catch (Exception thrown) {
            return named(thrown);
        }
    }

    /** The name of what an action throws, or "done". */
    static String outcome(Action action) {
        try {
            action.run();
            return "done";
        } catch (Exception thrown) {
            return named(thrown);
        }
    }

    static String named(Throwable thrown) {
        boolean wrapped = thrown instanceof ExecutionException && thrown.getCause() != null;
        return (wrapped ? thrown.getCause() : thrown).getClass().getSimpleName();
    }

    interface Action {
        void run() throws Exception;
    }

    <T extends AutoCloseable> T keep(T client) {
        clients.add(client);
        return client;
    }

    @Override
    public void close() throws Exception {
        for (AutoCloseable client : clients) {
            try {
                if (client instanceof KafkaProducer<?, ?> producer) {
                    producer.close(Duration.ZERO);
                } else if (client instanceof KafkaConsumer<?, ?> consumer) {
                    consumer.close();
                } else {
                    client.close();
                }
            } catch (Exception thrown) {
                // It was closed before, or has given up.
            }
        }
    }
}
