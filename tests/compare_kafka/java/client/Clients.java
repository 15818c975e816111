import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Collection;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import java.util.concurrent.atomic.AtomicReference;
import java.util.function.Supplier;
import org.apache.kafka.clients.consumer.ConsumerRebalanceListener;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.consumer.OffsetAndTimestamp;
import org.apache.kafka.clients.consumer.SubscriptionPattern;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.header.Header;

/** Producers and consumers from day to day. */
class Clients {
    static final Map<String, Main.Scenario> SCENARIOS = new HashMap<>();

    static {
        SCENARIOS.put("records", Clients::records);
        SCENARIOS.put("keys", Clients::keys);
        SCENARIOS.put("acks_and_sizes", Clients::acksAndSizes);
        SCENARIOS.put("cooperative_group", run -> group(run, "cooperative"));
        SCENARIOS.put("eager_group", run -> group(run, "eager"));
        SCENARIOS.put("consumer_protocol_group", run -> group(run, "consumer"));
        SCENARIOS.put("static_member", run -> staticMember(run, "classic"));
        SCENARIOS.put("static_member_of_the_new_protocol", run -> staticMember(run, "consumer"));
        SCENARIOS.put("seek_pause_resume", Clients::seekPauseResume);
        SCENARIOS.put("commits", Clients::commits);
        SCENARIOS.put("commit_of_a_former_member", Clients::commitOfAFormerMember);
        SCENARIOS.put("offsets_for_times", Clients::offsetsForTimes);
        SCENARIOS.put("patterns", Clients::patterns);
        SCENARIOS.put("consumer_over_a_restart", Clients::overARestart);
    }

    /** Keys, headers, nulls and times, in every codec. */
    static void records(Case run) throws Exception {
        String topic = run.topic("t", 1);
        long time = 1_700_000_000_000L;
        for (String codec : List.of("none", "gzip", "snappy", "lz4", "zstd")) {
            KafkaProducer<String, String> producer = run.producer("compression.type", codec, "linger.ms", "20");
            ProducerRecord<String, String> full = new ProducerRecord<>(topic, 0, time, "key", codec.repeat(50));
            full.headers().add("h", "one".getBytes(StandardCharsets.UTF_8)).add("h", null).add("empty", new byte[0]);
            producer.send(full);
            producer.send(new ProducerRecord<>(topic, 0, time + 1, null, ""));
            String nothing = null;
            producer.send(new ProducerRecord<>(topic, 0, Long.valueOf(time + 2), "gone", nothing));
            producer.flush();
        }
        KafkaConsumer<String, String> consumer = run.consumer();
        consumer.assign(List.of(new TopicPartition(topic, 0)));
        int[] seen = {0};
        List<List<Object>> lines = new ArrayList<>();
        Case.await(() -> {
            for (ConsumerRecord<String, String> record : consumer.poll(Case.MOMENT)) {
                List<Object> line = new ArrayList<>(List.of(record.offset(), record.timestamp() - time));
                line.add(record.timestampType().toString());
                line.add(record.key());
                line.add(record.value() == null ? null : record.value().length());
                for (Header header : record.headers()) {
                    line.add(header.key());
                    line.add(header.value() == null ? null : new String(header.value(), StandardCharsets.UTF_8));
                }
                lines.add(line);
                seen[0]++;
            }
            return seen[0] >= 15;
        });
        for (List<Object> line : lines) {
            run.saw("record", line.toArray());
        }
    }

    /** The client picks the partition by the key. */
    static void keys(Case run) throws Exception {
        String topic = run.topic("t", 3);
        KafkaProducer<String, String> producer = run.producer();
        for (String key : List.of("a", "b", "c", "d", "a")) {
            run.saw("key", key, producer.send(new ProducerRecord<>(topic, key, "value of " + key)).get().partition());
        }
        run.saw("read", run.read(topic, "read_uncommitted"));
        run.saw("partitions", producer.partitionsFor(topic).size());
        KafkaProducer<String, String> hasty = run.producer("max.block.ms", "1000");
        run.saw("no such partition", Case.result(() -> hasty.send(new ProducerRecord<>(topic, 7, null, "x")).get()));
    }

    static void acksAndSizes(Case run) throws Exception {
        String topic = run.topic("t", 1);
        for (String acks : List.of("0", "1", "all")) {
            KafkaProducer<String, String> producer = run.producer("acks", acks, "enable.idempotence", "false");
            run.saw("acks", acks, run.send(producer, topic, 0, "with " + acks));
            producer.close();
        }
        KafkaProducer<String, String> large = run.producer("max.request.size", "5000000");
        run.saw("too large for the topic", run.send(large, topic, 0, "x".repeat(2_000_000)));
        run.saw("too large for the client", run.send(run.producer(), topic, 0, "x".repeat(2_000_000)));
        run.saw("after it", run.send(large, topic, 0, "small"));
        run.saw("bad name", Case.result(() -> large.send(new ProducerRecord<>("a/b", "x")).get()));
        run.saw("read", run.uncommitted(topic));
    }

    /** What a member has, and whether it ever had to give something away. */
    private static class Listener implements ConsumerRebalanceListener {
        final Set<Integer> revoked = new TreeSet<>();
        final Set<Integer> lost = new TreeSet<>();
        int assignments;

        @Override
        public void onPartitionsAssigned(Collection<TopicPartition> partitions) {
            assignments++;
        }

        @Override
        public void onPartitionsRevoked(Collection<TopicPartition> partitions) {
            partitions.forEach(each -> revoked.add(each.partition()));
        }

        @Override
        public void onPartitionsLost(Collection<TopicPartition> partitions) {
            partitions.forEach(each -> lost.add(each.partition()));
        }
    }

    private static Object[] kind(String name) {
        return switch (name) {
            case "consumer" -> new Object[] {"group.protocol", "consumer"};
            case "cooperative" -> assignor("org.apache.kafka.clients.consumer.CooperativeStickyAssignor");
            default -> assignor("org.apache.kafka.clients.consumer.RangeAssignor");
        };
    }

    private static Object[] assignor(String name) {
        return new Object[] {"partition.assignment.strategy", name};
    }

    private static Set<Integer> partitions(KafkaConsumer<?, ?> consumer) {
        Set<Integer> found = new TreeSet<>();
        consumer.assignment().forEach(each -> found.add(each.partition()));
        return found;
    }

    private static boolean settled(Supplier<Boolean> condition, KafkaConsumer<?, ?>... members) {
        return Case.await(() -> {
            for (KafkaConsumer<?, ?> member : members) {
                member.poll(Case.MOMENT);
            }
            return condition.get();
        });
    }

    /** A second member comes, and leaves again. */
    static void group(Case run, String kind) throws Exception {
        String topic = run.topic("t", 4);
        KafkaConsumer<String, String> first = run.member(kind(kind));
        Listener firstListener = new Listener();
        first.subscribe(List.of(topic), firstListener);
        run.saw("alone", settled(() -> first.assignment().size() == 4, first), partitions(first));
        KafkaConsumer<String, String> second = run.member(kind(kind));
        Listener secondListener = new Listener();
        second.subscribe(List.of(topic), secondListener);
        run.saw("together", settled(
                () -> first.assignment().size() == 2 && second.assignment().size() == 2, first, second));
        Set<Integer> both = new TreeSet<>(partitions(first));
        both.addAll(partitions(second));
        run.saw("shares", both, "revoked of the first", firstListener.revoked.size());
        run.saw("generation", first.groupMetadata().generationId() == second.groupMetadata().generationId());
        for (int partition = 0; partition < 4; partition++) {
            run.send(run.producer(), topic, partition, "value " + partition);
        }
        Set<String> read = new TreeSet<>();
        Case.await(() -> {
            first.poll(Case.MOMENT).forEach(record -> read.add(record.value()));
            second.poll(Case.MOMENT).forEach(record -> read.add(record.value()));
            return read.size() == 4;
        });
        run.saw("read", read);
        first.commitSync();
        second.commitSync();
        second.close();
        run.saw("alone again", settled(() -> first.assignment().size() == 4, first), partitions(first));
        run.saw("revoked of the second", secondListener.revoked.size(), "lost", secondListener.lost.size());
        first.unsubscribe();
        run.saw("left", partitions(first), run.admin().describeConsumerGroups(List.of(run.name("group"))).all().get()
                .get(run.name("group")).members().size());
    }

    /** A member that comes back under its name gets what it had; a second of its name does not get along with it. */
    static void staticMember(Case run, String protocol) throws Exception {
        String topic = run.topic("t", 2);
        boolean newer = protocol.equals("consumer");
        Object[] kind = newer ? kind("consumer") : kind("cooperative");
        KafkaConsumer<String, String> one = run.member(Case.concat(kind, "group.instance.id", "one"));
        KafkaConsumer<String, String> two = run.member(Case.concat(kind, "group.instance.id", "two"));
        Listener listener = new Listener();
        one.subscribe(List.of(topic));
        run.saw("one", settled(() -> one.assignment().size() == 2, one));
        two.subscribe(List.of(topic), listener);
        run.saw("both", settled(() -> one.assignment().size() == 1 && two.assignment().size() == 1, one, two));
        Set<Integer> had = partitions(one);
        int before = listener.assignments;
        one.close();
        KafkaConsumer<String, String> back = run.member(Case.concat(kind, "group.instance.id", "one"));
        back.subscribe(List.of(topic));
        run.saw("back", settled(() -> back.assignment().size() == 1, back, two), partitions(back).equals(had));
        run.saw("the other", listener.assignments - before, listener.revoked.size());
        run.saw("names", new TreeSet<>(run.admin().describeConsumerGroups(List.of(run.name("group"))).all().get()
                .get(run.name("group")).members().stream().map(each -> each.groupInstanceId().orElse("")).toList()));
        KafkaConsumer<String, String> same = run.member(Case.concat(kind, "group.instance.id", "one"));
        same.subscribe(List.of(topic));
        AtomicReference<String> fault = new AtomicReference<>();
        AtomicReference<String> who = new AtomicReference<>();
        Case.await(() -> {
            for (Map.Entry<String, KafkaConsumer<String, String>> each
                    : Map.of("first", back, "second", same).entrySet()) {
                try {
                    each.getValue().poll(Case.MOMENT);
                } catch (Exception thrown) {
                    fault.set(Case.named(thrown));
                    who.set(each.getKey());
                    return true;
                }
            }
            return false;
        });
        run.saw("of one name", who.get(), fault.get());
    }

    static void seekPauseResume(Case run) throws Exception {
        String topic = run.topic("t", 2);
        TopicPartition left = new TopicPartition(topic, 0);
        TopicPartition right = new TopicPartition(topic, 1);
        run.send(run.producer(), topic, 0, "a", "b", "c");
        run.send(run.producer(), topic, 1, "x", "y", "z");
        KafkaConsumer<String, String> consumer = run.consumer("max.poll.records", "2");
        consumer.assign(List.of(left, right));
        consumer.pause(List.of(right));
        run.saw("paused", consumer.paused().size(), run.poll(consumer, 3), consumer.position(right));
        run.saw("nothing", consumer.poll(Duration.ofMillis(200)).count());
        consumer.resume(List.of(right));
        consumer.pause(List.of(left));
        consumer.seek(left, 1);
        run.saw("resumed", run.poll(consumer, 3));
        consumer.resume(List.of(left));
        run.saw("from 1", run.poll(consumer, 2));
        consumer.seekToBeginning(List.of(left));
        consumer.seekToEnd(List.of(right));
        run.saw("positions", consumer.position(left), consumer.position(right));
        consumer.seek(right, new OffsetAndMetadata(2));
        consumer.pause(List.of(left));
        run.saw("from 2", run.poll(consumer, 1));
        run.saw("lag", consumer.currentLag(right).orElse(-1));
        KafkaConsumer<String, String> strict = run.consumer("auto.offset.reset", "none");
        strict.assign(List.of(left));
        run.saw("no offset", Case.result(() -> strict.poll(Duration.ofSeconds(5)).count()));
        strict.seek(left, 99);
        run.saw("out of range", Case.outcome(() -> {
            for (int at = 0; at < 50; at++) {
                strict.poll(Duration.ofMillis(100));
            }
        }));
    }

    static void commits(Case run) throws Exception {
        String topic = run.topic("t", 1);
        TopicPartition place = new TopicPartition(topic, 0);
        run.send(run.producer(), topic, 0, "a", "b", "c", "d");
        KafkaConsumer<String, String> consumer = run.member("max.poll.records", "1");
        consumer.subscribe(List.of(topic));
        run.saw("none", consumer.committed(Set.of(place)).get(place) == null);
        run.saw("read", run.poll(consumer, 2));
        consumer.commitSync();
        run.saw("sync", offset(consumer, place));
        AtomicReference<Object> told = new AtomicReference<>();
        consumer.commitAsync(Map.of(place, new OffsetAndMetadata(3, "three")), (offsets, fault) ->
                told.set(fault == null ? offsets.get(place).offset() : Case.named(fault)));
        Case.await(() -> {
            consumer.poll(Case.MOMENT);
            return told.get() != null;
        });
        run.saw("async", told.get(), offset(consumer, place));
        TopicPartition gone = new TopicPartition(run.name("gone"), 0);
        run.saw("of another topic", Case.outcome(() ->
                consumer.commitSync(Map.of(gone, new OffsetAndMetadata(1)), Duration.ofSeconds(1))));
        run.saw("metadata", Case.outcome(() ->
                consumer.commitSync(Map.of(place, new OffsetAndMetadata(1, "x".repeat(5000))))));
        consumer.close();
        KafkaConsumer<String, String> next = run.member();
        next.subscribe(List.of(topic));
        run.saw("goes on", run.poll(next, 1));
        next.close();
        KafkaConsumer<String, String> automatic = run.member("enable.auto.commit", "true", "auto.commit.interval.ms",
                "50");
        automatic.subscribe(List.of(topic));
        run.poll(automatic, 1);
        automatic.close();
        KafkaConsumer<String, String> last = run.member();
        last.assign(List.of(place));
        run.saw("automatic", offset(last, place));
    }

    private static Object offset(KafkaConsumer<?, ?> consumer, TopicPartition place) {
        OffsetAndMetadata found = consumer.committed(Set.of(place)).get(place);
        return found == null ? "none" : List.of(found.offset(), found.metadata());
    }

    /** A member that was taken out commits what it has read. */
    static void commitOfAFormerMember(Case run) throws Exception {
        String topic = run.topic("t", 1);
        run.send(run.producer(), topic, 0, "a", "b");
        KafkaConsumer<String, String> slow = run.member("max.poll.interval.ms", "1000", "session.timeout.ms", "6000");
        slow.subscribe(List.of(topic));
        run.saw("read", run.poll(slow, 2));
        KafkaConsumer<String, String> other = run.member();
        other.subscribe(List.of(topic));
        run.saw("the other", run.poll(other, 2));
        run.saw("commit", Case.outcome(slow::commitSync));
        other.commitSync();
        run.saw("committed", offset(other, new TopicPartition(topic, 0)));
    }

    static void offsetsForTimes(Case run) throws Exception {
        String topic = run.topic("t", 1);
        TopicPartition place = new TopicPartition(topic, 0);
        KafkaProducer<String, String> producer = run.producer();
        long time = 1_700_000_000_000L;
        for (int at = 0; at < 5; at++) {
            producer.send(new ProducerRecord<>(topic, 0, time + 100 * at, null, "at " + at)).get();
        }
        KafkaConsumer<String, String> consumer = run.consumer();
        for (long at : new long[] {0, 100, 150, 400, 401}) {
            OffsetAndTimestamp found = consumer.offsetsForTimes(Map.of(place, time + at)).get(place);
            run.saw("from", at, found == null ? null : List.of(found.offset(), found.timestamp() - time));
        }
        run.saw("ends", consumer.beginningOffsets(List.of(place)).get(place),
                consumer.endOffsets(List.of(place)).get(place));
        run.saw("gone", Case.result(() -> consumer.endOffsets(
                List.of(new TopicPartition(run.name("gone"), 0)), Duration.ofSeconds(1))));
    }

    /** Topics that come later are found, by the client in the old protocol and by the broker in the new one. */
    static void patterns(Case run) throws Exception {
        String first = run.topic("p-one", 1);
        String ending = run.name("");
        run.send(run.producer(), first, 0, "one");
        KafkaConsumer<String, String> classic = run.consumer("group.id", run.name("classic"), "metadata.max.age.ms",
                "200");
        classic.subscribe(java.util.regex.Pattern.compile("p-.*" + ending));
        KafkaConsumer<String, String> newer = run.consumer("group.id", run.name("newer"), "group.protocol", "consumer",
                "metadata.max.age.ms", "200");
        newer.subscribe(new SubscriptionPattern("p-.*" + ending));
        run.saw("first", run.poll(classic, 1), run.poll(newer, 1));
        KafkaConsumer<String, String> wrong = run.consumer("group.id", run.name("wrong"), "group.protocol", "consumer");
        wrong.subscribe(new SubscriptionPattern("(["));
        run.saw("wrong", Case.outcome(() -> {
            for (int at = 0; at < 100; at++) {
                wrong.poll(Case.MOMENT);
            }
        }));
    }

    /** A member of a group goes on when the broker is back. */
    static void overARestart(Case run) throws Exception {
        String topic = run.topic("t", 1);
        KafkaProducer<String, String> producer = run.producer();
        KafkaConsumer<String, String> consumer = run.member(kind("cooperative"));
        consumer.subscribe(List.of(topic));
        run.saw("sent", run.send(producer, topic, 0, "a"));
        run.saw("read", run.poll(consumer, 1));
        consumer.commitSync();
        run.restart();
        run.saw("sent", run.send(producer, topic, 0, "b"));
        run.saw("read", run.poll(consumer, 1));
        // It may have to join again, and commits when it has.
        run.saw("commit", Case.await(() -> {
            consumer.poll(Case.MOMENT);
            return Case.outcome(consumer::commitSync).equals("done");
        }), offset(consumer, new TopicPartition(topic, 0)));
    }
}
