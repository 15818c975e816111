import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.concurrent.Future;
import org.apache.kafka.clients.admin.AbortTransactionSpec;
import org.apache.kafka.clients.admin.ProducerState;
import org.apache.kafka.clients.admin.TransactionDescription;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.TopicPartition;

/** Transactional and idempotent producers. With a broker of 4.x the client uses KIP-890 by itself. */
class Transactions {
    static final Map<String, Main.Scenario> SCENARIOS = new HashMap<>();

    static {
        SCENARIOS.put("commit", Transactions::commit);
        SCENARIOS.put("abort", Transactions::abort);
        SCENARIOS.put("send_offsets", Transactions::sendOffsets);
        SCENARIOS.put("fenced", Transactions::fenced);
        SCENARIOS.put("timeout", Transactions::timeout);
        SCENARIOS.put("restart", Transactions::restart);
        SCENARIOS.put("last_stable_offset", Transactions::lastStableOffset);
        SCENARIOS.put("idempotent", Transactions::idempotent);
        SCENARIOS.put("large", Transactions::large);
        SCENARIOS.put("left_open", Transactions::leftOpen);
        SCENARIOS.put("failed_record", Transactions::failedRecord);
        SCENARIOS.put("administrator_aborts", Transactions::administratorAborts);
    }

    /** Two transactions over two partitions; the epoch that the coordinator tells grows with each. */
    static void commit(Case run) throws Exception {
        String topic = run.topic("t", 2);
        KafkaProducer<String, String> producer = run.transactional("id");
        for (int round = 0; round < 2; round++) {
            producer.beginTransaction();
            run.saw("sent", run.send(producer, topic, 0, "a" + round, "b" + round));
            run.saw("sent", run.send(producer, topic, 1, "c" + round));
            run.saw("during", described(run, "id"), run.read(topic, "read_committed"));
            run.saw("others", run.read(topic, "read_uncommitted"));
            producer.commitTransaction();
            run.saw("after", ended(run, "id"), run.read(topic, "read_committed"));
        }
        run.saw("nothing", Case.outcome(() -> {
            producer.beginTransaction();
            producer.commitTransaction();
        }), ended(run, "id"));
    }

    static void abort(Case run) throws Exception {
        String topic = run.topic("t", 1);
        KafkaProducer<String, String> producer = run.transactional("id");
        producer.beginTransaction();
        run.saw("sent", run.send(producer, topic, 0, "a", "b"));
        producer.abortTransaction();
        run.saw("aborted", ended(run, "id"), run.committed(topic), run.uncommitted(topic));
        producer.beginTransaction();
        run.saw("sent", run.send(producer, topic, 0, "c"));
        producer.commitTransaction();
        producer.beginTransaction();
        producer.abortTransaction();
        run.saw("nothing", ended(run, "id"));
        run.saw("read", run.committed(topic), run.uncommitted(topic));
        run.saw("commit without a beginning", Case.outcome(producer::commitTransaction));
    }

    /** Offsets of a group are those of the transaction that commits, and of no other. */
    @SuppressWarnings("removal")
    static void sendOffsets(Case run) throws Exception {
        String source = run.topic("in", 1);
        String target = run.topic("out", 1);
        run.send(run.producer(), source, 0, "a", "b", "c");
        KafkaProducer<String, String> producer = run.transactional("id");
        KafkaConsumer<String, String> consumer = run.member("isolation.level", "read_committed");
        consumer.subscribe(List.of(source));
        run.saw("read", run.poll(consumer, 3));
        TopicPartition place = new TopicPartition(source, 0);
        for (boolean commits : new boolean[] {false, true}) {
            producer.beginTransaction();
            run.saw("sent", run.send(producer, target, 0, "copied"));
            Map<TopicPartition, OffsetAndMetadata> offsets = Map.of(place, new OffsetAndMetadata(2, "two"));
            producer.sendOffsetsToTransaction(offsets, consumer.groupMetadata());
            if (commits) {
                producer.commitTransaction();
            } else {
                producer.abortTransaction();
            }
            run.saw("end", commits, ended(run, "id"));
            OffsetAndMetadata found = consumer.committed(java.util.Set.of(place)).get(place);
            run.saw("committed", found == null ? null : List.of(found.offset(), found.metadata()));
        }
        producer.beginTransaction();
        run.saw("offsets alone", Case.outcome(() -> {
            Map<TopicPartition, OffsetAndMetadata> offsets = Map.of(place, new OffsetAndMetadata(3));
            producer.sendOffsetsToTransaction(offsets, consumer.groupMetadata());
            producer.commitTransaction();
        }), consumer.committed(java.util.Set.of(place)).get(place).offset());
        var stranger = new org.apache.kafka.clients.consumer.ConsumerGroupMetadata(
                run.name("group"), 99, "nobody", java.util.Optional.empty());
        producer.beginTransaction();
        run.saw("by a stranger", Case.outcome(() -> {
            producer.sendOffsetsToTransaction(Map.of(place, new OffsetAndMetadata(1)), stranger);
        }), Case.outcome(producer::commitTransaction), Case.outcome(producer::abortTransaction));
        run.saw("committed", consumer.committed(java.util.Set.of(place)).get(place).offset());
        run.saw("read", run.committed(target));
    }

    /** The second producer of an id ends what the first has open. */
    static void fenced(Case run) throws Exception {
        String topic = run.topic("t", 1);
        KafkaProducer<String, String> first = run.transactional("id");
        first.beginTransaction();
        run.saw("sent", run.send(first, topic, 0, "first"));
        KafkaProducer<String, String> second = run.transactional("id");
        run.saw("first", run.send(first, topic, 0, "late"));
        run.saw("commit", Case.outcome(first::commitTransaction));
        run.saw("abort", Case.outcome(first::abortTransaction));
        second.beginTransaction();
        run.saw("second", run.send(second, topic, 0, "second"));
        second.commitTransaction();
        run.saw("read", run.committed(topic), ended(run, "id"));
        KafkaProducer<String, String> third = run.transactional("id");
        second.beginTransaction();
        run.saw("nothing open", run.send(second, topic, 0, "late"));
        run.saw("commit", Case.outcome(second::commitTransaction));
        third.beginTransaction();
        run.saw("third", run.send(third, topic, 0, "third"), Case.outcome(third::commitTransaction));
        run.saw("read", run.committed(topic));
    }

    /** The coordinator aborts what takes too long; its producer finds out and goes on. */
    static void timeout(Case run) throws Exception {
        String topic = run.topic("t", 1);
        for (boolean commits : new boolean[] {true, false}) {
            String id = commits ? "commits" : "aborts";
            KafkaProducer<String, String> producer = run.transactional(id, "transaction.timeout.ms", "1000");
            producer.beginTransaction();
            run.saw("sent", run.send(producer, topic, 0, "late"));
            run.saw("aborted", Case.await(() -> described(run, id).get(0).equals("CompleteAbort")), described(run, id));
            if (commits) {
                run.saw("commit", Case.outcome(producer::commitTransaction));
            } else {
                run.saw("send", run.send(producer, topic, 0, "later"));
            }
            run.saw("abort", Case.outcome(producer::abortTransaction));
            run.saw("again", Case.outcome(() -> {
                producer.beginTransaction();
                run.send(producer, topic, 0, id);
                producer.commitTransaction();
            }));
        }
        run.saw("read", run.committed(topic));
    }

    /** The broker restarts in the middle of a transaction. */
    static void restart(Case run) throws Exception {
        String topic = run.topic("t", 1);
        KafkaProducer<String, String> producer = run.transactional("id");
        producer.beginTransaction();
        run.saw("before", run.send(producer, topic, 0, "a"));
        run.restart();
        run.saw("open", run.committed(topic), described(run, "id"));
        run.saw("after", run.send(producer, topic, 0, "b"));
        run.saw("commit", Case.outcome(producer::commitTransaction), ended(run, "id"));
        producer.beginTransaction();
        run.saw("next", run.send(producer, topic, 0, "c"));
        run.restart();
        run.saw("abort", Case.outcome(producer::abortTransaction), ended(run, "id"));
        run.saw("read", run.committed(topic), run.uncommitted(topic));
    }

    /** Readers of committed records get no further than the first transaction that is open. */
    static void lastStableOffset(Case run) throws Exception {
        String topic = run.topic("t", 1);
        KafkaProducer<String, String> first = run.transactional("first");
        KafkaProducer<String, String> second = run.transactional("second");
        KafkaConsumer<String, String> reader = run.member("isolation.level", "read_committed");
        TopicPartition place = new TopicPartition(topic, 0);
        reader.assign(List.of(place));
        first.beginTransaction();
        second.beginTransaction();
        run.send(run.producer(), topic, 0, "plain");
        run.send(first, topic, 0, "first");
        run.send(second, topic, 0, "second");
        second.commitTransaction();
        run.send(run.producer(), topic, 0, "behind");
        run.saw("end", reader.endOffsets(List.of(place)).get(place), run.poll(reader, 1), reader.position(place));
        first.abortTransaction();
        run.saw("rest", run.poll(reader, 2));
        run.saw("end", reader.endOffsets(List.of(place)).get(place));
        first.beginTransaction();
        run.send(first, topic, 0, "a");
        run.send(second = second(second), topic, 0, "b");
        first.commitTransaction();
        second.abortTransaction();
        run.saw("mixed", run.poll(reader, 1), run.uncommitted(topic).size());
    }

    private static KafkaProducer<String, String> second(KafkaProducer<String, String> producer) {
        producer.beginTransaction();
        return producer;
    }

    /** Many batches under way, each of them once and in order; what the partition knows of their producer. */
    static void idempotent(Case run) throws Exception {
        String topic = run.topic("t", 1);
        KafkaProducer<String, String> producer = run.producer("batch.size", "200");
        List<Future<RecordMetadata>> sent = new ArrayList<>();
        for (int number = 0; number < 500; number++) {
            sent.add(producer.send(new ProducerRecord<>(topic, 0, null, "value " + number)));
        }
        boolean ordered = true;
        for (int number = 0; number < sent.size(); number++) {
            ordered &= sent.get(number).get().offset() == number;
        }
        run.saw("in order", ordered);
        List<String> values = run.uncommitted(topic);
        run.saw("read", values.size(), values.get(0), values.get(499));
        run.saw("producers", producers(run, topic).stream()
                .map(each -> List.of(each.producerEpoch(), each.lastSequence(), each.coordinatorEpoch().orElse(-1)))
                .toList());
        run.saw("acks", Case.outcome(() -> run.producer("enable.idempotence", "true", "acks", "1")));
        run.saw("begin", Case.outcome(producer::beginTransaction));
    }

    /** Thousands of records over many partitions, in one transaction. */
    static void large(Case run) throws Exception {
        String topic = run.topic("t", 12);
        KafkaProducer<String, String> producer = run.transactional("id", "linger.ms", "5");
        for (boolean commits : new boolean[] {false, true}) {
            producer.beginTransaction();
            for (int number = 0; number < 6000; number++) {
                producer.send(new ProducerRecord<>(topic, number % 12, null, commits + " " + number));
            }
            producer.flush();
            run.saw("open", run.committed(topic).size(), described(run, "id").get(2));
            if (commits) {
                producer.commitTransaction();
            } else {
                producer.abortTransaction();
            }
            Map<Integer, Integer> counts = new TreeMap<>();
            run.read(topic, "read_committed").forEach((partition, values) -> counts.put(partition, values.size()));
            run.saw("end", commits, counts);
        }
        run.saw("first", run.read(topic, "read_committed").get(11).subList(0, 3), run.uncommitted(topic).size());
    }

    /** A producer that is closed in a transaction aborts it; one that is killed leaves it to the next. */
    static void leftOpen(Case run) throws Exception {
        String topic = run.topic("t", 1);
        KafkaProducer<String, String> polite = run.transactional("polite");
        polite.beginTransaction();
        run.saw("sent", run.send(polite, topic, 0, "polite"));
        polite.close();
        run.saw("closed", ended(run, "polite"));
        KafkaProducer<String, String> killed = run.transactional("killed");
        killed.beginTransaction();
        run.saw("sent", run.send(killed, topic, 0, "killed"));
        killed.close(Duration.ZERO);
        run.saw("open", described(run, "killed"), run.committed(topic));
        KafkaProducer<String, String> next = run.transactional("killed");
        next.beginTransaction();
        run.saw("next", run.send(next, topic, 0, "next"), Case.outcome(next::commitTransaction));
        run.saw("read", run.committed(topic), run.uncommitted(topic), ended(run, "killed"));
    }

    /** A record that cannot be stored makes the transaction one that can only be aborted. */
    static void failedRecord(Case run) throws Exception {
        String topic = run.topic("t", 1);
        KafkaProducer<String, String> producer = run.transactional("id", "max.request.size", "3000000");
        producer.beginTransaction();
        run.saw("sent", run.send(producer, topic, 0, "a"));
        run.saw("large", run.send(producer, topic, 0, "x".repeat(2_000_000)));
        run.saw("commit", Case.outcome(producer::commitTransaction));
        run.saw("abort", Case.outcome(producer::abortTransaction), ended(run, "id").get(0));
        producer.beginTransaction();
        run.saw("again", run.send(producer, topic, 0, "b"), Case.outcome(producer::commitTransaction));
        run.saw("read", run.committed(topic));
    }

    /** Ended in one partition by an administrator, and as a whole by fencing its producer. */
    static void administratorAborts(Case run) throws Exception {
        String topic = run.topic("t", 1);
        KafkaProducer<String, String> producer = run.transactional("id");
        producer.beginTransaction();
        run.saw("before", run.send(producer, topic, 0, "before"), Case.outcome(producer::commitTransaction));
        producer.beginTransaction();
        run.saw("sent", run.send(producer, topic, 0, "a"));
        ProducerState open = producers(run, topic).get(0);
        run.saw("open", open.currentTransactionStartOffset().orElse(-1), run.committed(topic));
        TopicPartition place = new TopicPartition(topic, 0);
        for (int later : new int[] {-1, 0}) {
            short epoch = (short) (open.producerEpoch() + later);
            int coordinator = open.coordinatorEpoch().orElse(0);
            AbortTransactionSpec spec = new AbortTransactionSpec(place, open.producerId(), epoch, coordinator);
            run.saw("aborted", later, Case.result(() -> run.admin().abortTransaction(spec).all().get()));
        }
        run.saw("read", run.committed(topic), run.uncommitted(topic), described(run, "id"));
        run.saw("sent", run.send(producer, topic, 0, "goes on"), run.committed(topic));
        run.saw("commit", Case.outcome(producer::commitTransaction), ended(run, "id"), run.committed(topic));
        producer.beginTransaction();
        run.saw("sent", run.send(producer, topic, 0, "b"));
        run.saw("fenced", Case.result(() -> run.admin().fenceProducers(List.of(run.name("id"))).all().get()));
        run.saw("commit", Case.outcome(producer::commitTransaction), ended(run, "id").get(0));
        KafkaProducer<String, String> next = run.transactional("id");
        next.beginTransaction();
        run.saw("sent", run.send(next, topic, 0, "c"));
        run.saw("ended", Case.result(() -> run.admin().forceTerminateTransaction(run.name("id")).result().get()));
        run.saw("commit", Case.outcome(next::commitTransaction), ended(run, "id").get(0), run.committed(topic));
    }

    private static List<ProducerState> producers(Case run, String topic) throws Exception {
        TopicPartition place = new TopicPartition(topic, 0);
        return run.admin().describeProducers(List.of(place)).partitionResult(place).get().activeProducers();
    }

    /** State, epoch and places of a transactional id. */
    static List<Object> described(Case run, String id) {
        try {
            String name = run.name(id);
            TransactionDescription found = run.admin().describeTransactions(List.of(name)).description(name).get();
            List<Object> places = new ArrayList<>();
            found.topicPartitions().stream()
                    .filter(each -> !each.topic().startsWith("__"))
                    .map(TopicPartition::partition).sorted().forEach(places::add);
            return List.of(found.state().toString(), found.producerEpoch(), places);
        } catch (Exception thrown) {
            return List.of(Case.named(thrown));
        }
    }

    /** The same when all partitions have their markers: Kafka answers before. */
    static List<Object> ended(Case run, String id) {
        Case.await(() -> !described(run, id).get(0).toString().startsWith("Prepare"));
        return described(run, id);
    }
}
