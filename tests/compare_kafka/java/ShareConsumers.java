import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.Arrays;
import java.util.Base64;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.stream.Collectors;
import org.apache.kafka.clients.consumer.AcknowledgeType;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaShareConsumer;
import org.apache.kafka.common.serialization.StringDeserializer;

/**
 * Share consumers by name, each driven step by step from outside. A line of the input is a command with its
 * arguments, in base64 with commas between; the answer is a line in base64.
 *
 *   open NAME TOPIC KEY=VALUE...   a consumer that is subscribed
 *   poll NAME MILLISECONDS         what came: partition, offset, delivery count and value, a line for each
 *   ack NAME OFFSET TYPE           acknowledge a record of the last poll that brought some, of partition 0
 *   commit NAME                    send acknowledgements: what became of each partition
 *   lock NAME                      the time for which records are locked
 *   close NAME                     go
 *
 * What the client throws is answered as "! class: text".
 */
public class ShareConsumers {
    private static final Map<String, KafkaShareConsumer<String, String>> consumers = new HashMap<>();
    private static final Map<String, Map<String, ConsumerRecord<String, String>>> polled = new HashMap<>();

    public static void main(String[] unused) throws Exception {
        BufferedReader commands = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        PrintStream answers = System.out;
        for (String line; (line = commands.readLine()) != null; ) {
            List<String> parts = Arrays.stream(line.split(",", -1)).map(ShareConsumers::decoded).toList();
            String answer;
            try {
                answer = answer(parts.get(0), parts.get(1), parts.subList(2, parts.size()));
            } catch (Exception thrown) {
                answer = "! " + thrown.getClass().getSimpleName() + ": " + thrown.getMessage();
            }
            answers.println(Base64.getEncoder().encodeToString(answer.getBytes(StandardCharsets.UTF_8)));
        }
    }

    private static String answer(String command, String name, List<String> rest) {
        if (command.equals("open")) {
            return open(name, rest);
        }
        KafkaShareConsumer<String, String> consumer = consumers.get(name);
        switch (command) {
            case "poll":
                Map<String, ConsumerRecord<String, String>> records = new LinkedHashMap<>();
                consumer.poll(Duration.ofMillis(Long.parseLong(rest.get(0))))
                    .forEach(one -> records.put(one.partition() + ":" + one.offset(), one));
                if (!records.isEmpty()) {
                    polled.put(name, records);
                }
                return records.values().stream().map(ShareConsumers::shown).collect(Collectors.joining("\n"));
            case "ack":
                consumer.acknowledge(
                    polled.get(name).get("0:" + rest.get(0)), AcknowledgeType.valueOf(rest.get(1)));
                return "";
            case "commit":
                return consumer.commitSync(Duration.ofSeconds(20)).entrySet().stream()
                    .map(one -> one.getKey().partition() + " " + one.getValue()
                        .map(error -> error.getClass().getSimpleName() + ": " + error.getMessage()).orElse("done"))
                    .sorted().collect(Collectors.joining("\n"));
            case "lock":
                return consumer.acquisitionLockTimeoutMs().map(Object::toString).orElse("none");
            case "close":
                consumers.remove(name);
                consumer.close();
                return "";
            default:
                throw new IllegalArgumentException(command);
        }
    }

    private static String open(String name, List<String> rest) {
        Properties config = new Properties();
        for (String setting : rest.subList(1, rest.size())) {
            config.put(setting.substring(0, setting.indexOf('=')), setting.substring(setting.indexOf('=') + 1));
        }
        KafkaShareConsumer<String, String> consumer =
            new KafkaShareConsumer<>(config, new StringDeserializer(), new StringDeserializer());
        consumer.subscribe(List.of(rest.get(0)));
        consumers.put(name, consumer);
        return "";
    }

    private static String shown(ConsumerRecord<String, String> one) {
        return one.partition() + "\t" + one.offset() + "\t" + one.deliveryCount().orElse((short) -1) + "\t" + one.value();
    }

    private static String decoded(String part) {
        return new String(Base64.getDecoder().decode(part), StandardCharsets.UTF_8);
    }
}
