import java.util.ArrayList;
import java.util.Collection;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.AlterConfigOp;
import org.apache.kafka.clients.admin.ConfigEntry;
import org.apache.kafka.clients.admin.ConsumerGroupDescription;
import org.apache.kafka.clients.admin.CreateTopicsOptions;
import org.apache.kafka.clients.admin.GroupListing;
import org.apache.kafka.clients.admin.MemberToRemove;
import org.apache.kafka.clients.admin.NewPartitions;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.admin.OffsetSpec;
import org.apache.kafka.clients.admin.RecordsToDelete;
import org.apache.kafka.clients.admin.RemoveMembersFromConsumerGroupOptions;
import org.apache.kafka.clients.admin.TopicDescription;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.config.ConfigResource;

/** The administrator's client. */
class Administration {
    static final Map<String, Main.Scenario> SCENARIOS = new HashMap<>();

    static {
        SCENARIOS.put("topics", Administration::topics);
        SCENARIOS.put("configs", Administration::configs);
        SCENARIOS.put("groups", Administration::groups);
        SCENARIOS.put("records_and_offsets", Administration::recordsAndOffsets);
        SCENARIOS.put("cluster", Administration::cluster);
    }

    static void topics(Case run) throws Exception {
        Admin admin = run.admin();
        String topic = run.name("t");
        NewTopic wanted = new NewTopic(topic, 2, (short) 1).configs(Map.of("retention.ms", "60000"));
        CreateTopicsOptions dry = new CreateTopicsOptions().validateOnly(true);
        run.saw("dry", Case.result(() -> admin.createTopics(List.of(wanted), dry).all().get()), exists(run, topic));
        run.saw("made", Case.result(() -> admin.createTopics(List.of(wanted)).all().get()), exists(run, topic));
        run.saw("again", Case.result(() -> admin.createTopics(List.of(wanted)).all().get()));
        for (NewTopic wrong : List.of(
                new NewTopic("a b", 1, (short) 1),
                new NewTopic(run.name("none"), 0, (short) 1),
                new NewTopic(run.name("two"), 1, (short) 2),
                new NewTopic(run.name("config"), 1, (short) 1).configs(Map.of("nonsense", "1")),
                new NewTopic(run.name("value"), 1, (short) 1).configs(Map.of("retention.ms", "x")))) {
            run.saw("wrong", Case.result(() -> admin.createTopics(List.of(wrong)).all().get()));
        }
        run.saw("described", described(run, topic));
        run.saw("grown", Case.result(() -> admin.createPartitions(
                Map.of(topic, NewPartitions.increaseTo(3))).all().get()), described(run, topic));
        run.saw("shrunk", Case.result(() -> admin.createPartitions(
                Map.of(topic, NewPartitions.increaseTo(1))).all().get()));
        run.saw("deleted", Case.result(() -> admin.deleteTopics(List.of(topic)).all().get()));
        run.saw("gone", Case.await(() -> !exists(run, topic)), described(run, topic));
        run.saw("again", Case.result(() -> admin.deleteTopics(List.of(topic)).all().get()));
    }

    private static boolean exists(Case run, String topic) {
        try {
            return run.admin().listTopics().names().get().contains(topic);
        } catch (Exception thrown) {
            return false;
        }
    }

    private static Object described(Case run, String topic) {
        return Case.result(() -> {
            TopicDescription found = run.admin().describeTopics(List.of(topic)).allTopicNames().get().get(topic);
            List<Object> partitions = new ArrayList<>();
            found.partitions().forEach(each -> partitions.add(
                    List.of(each.partition(), each.leader().id(), each.replicas().size(), each.isr().size())));
            return List.of(found.isInternal(), partitions);
        });
    }

    static void configs(Case run) throws Exception {
        Admin admin = run.admin();
        ConfigResource topic = new ConfigResource(ConfigResource.Type.TOPIC, run.topic("t", 1));
        run.saw("default", config(run, topic, "retention.ms"), config(run, topic, "cleanup.policy"));
        run.saw("set", altered(admin, topic, "retention.ms", "5000", AlterConfigOp.OpType.SET),
                config(run, topic, "retention.ms"));
        run.saw("append", altered(admin, topic, "cleanup.policy", "compact", AlterConfigOp.OpType.APPEND),
                config(run, topic, "cleanup.policy"));
        run.saw("subtract", altered(admin, topic, "cleanup.policy", "delete", AlterConfigOp.OpType.SUBTRACT),
                config(run, topic, "cleanup.policy"));
        run.saw("delete", altered(admin, topic, "retention.ms", "", AlterConfigOp.OpType.DELETE),
                config(run, topic, "retention.ms"));
        run.saw("wrong", altered(admin, topic, "retention.ms", "x", AlterConfigOp.OpType.SET),
                altered(admin, topic, "nonsense", "1", AlterConfigOp.OpType.SET));
        ConfigResource gone = new ConfigResource(ConfigResource.Type.TOPIC, run.name("gone"));
        run.saw("gone", altered(admin, gone, "retention.ms", "1", AlterConfigOp.OpType.SET),
                config(run, gone, "retention.ms"));
    }

    private static Object altered(Admin admin, ConfigResource resource, String name, String value,
            AlterConfigOp.OpType how) {
        Collection<AlterConfigOp> operations = List.of(new AlterConfigOp(new ConfigEntry(name, value), how));
        return Case.outcome(() -> admin.incrementalAlterConfigs(Map.of(resource, operations)).all().get());
    }

    private static Object config(Case run, ConfigResource resource, String name) {
        return Case.result(() -> {
            ConfigEntry found = run.admin().describeConfigs(List.of(resource)).all().get().get(resource).get(name);
            return List.of(found.value(), found.source().toString(), found.isDefault(), found.isReadOnly());
        });
    }

    static void groups(Case run) throws Exception {
        Admin admin = run.admin();
        String topic = run.topic("t", 2);
        String group = run.name("group");
        TopicPartition place = new TopicPartition(topic, 0);
        run.send(run.producer(), topic, 0, "a", "b", "c");
        KafkaConsumer<String, String> member = run.member("client.id", "reader", "group.instance.id", "one");
        member.subscribe(List.of(topic));
        run.poll(member, 3);
        member.commitSync();
        run.saw("listed", listed(run, group));
        ConsumerGroupDescription found = admin.describeConsumerGroups(List.of(group)).all().get().get(group);
        run.saw("described", found.groupState().toString(), found.type().toString(), found.partitionAssignor(),
                found.isSimpleConsumerGroup());
        found.members().forEach(each -> {
            try {
                run.saw("member", each.clientId(), each.groupInstanceId().orElse(null), each.host(),
                        each.assignment().topicPartitions().size());
            } catch (Exception thrown) {
                throw new IllegalStateException(thrown);
            }
        });
        run.saw("offsets", offsets(run, group));
        run.saw("busy", Case.outcome(() -> admin.alterConsumerGroupOffsets(
                group, Map.of(place, new OffsetAndMetadata(1))).all().get()),
                Case.outcome(() -> admin.deleteConsumerGroupOffsets(
                        group, java.util.Set.of(place)).all().get()),
                Case.outcome(() -> admin.deleteConsumerGroups(List.of(group)).all().get()));
        member.close();
        var names = List.of(new MemberToRemove("one"));
        run.saw("removed", Case.outcome(() -> admin.removeMembersFromConsumerGroup(
                group, new RemoveMembersFromConsumerGroupOptions(names)).all().get()));
        run.saw("unknown", Case.outcome(() -> admin.removeMembersFromConsumerGroup(
                group, new RemoveMembersFromConsumerGroupOptions(names)).all().get()));
        run.saw("altered", Case.outcome(() -> admin.alterConsumerGroupOffsets(
                group, Map.of(place, new OffsetAndMetadata(1, "by hand"))).all().get()), offsets(run, group));
        run.saw("offset deleted", Case.outcome(() -> admin.deleteConsumerGroupOffsets(
                group, java.util.Set.of(place)).all().get()), offsets(run, group));
        run.saw("deleted", Case.outcome(() -> admin.deleteConsumerGroups(List.of(group)).all().get()),
                listed(run, group));
        run.saw("again", Case.outcome(() -> admin.deleteConsumerGroups(List.of(group)).all().get()),
                Case.result(() -> admin.describeConsumerGroups(List.of(group)).all().get()));
    }

    private static Object listed(Case run, String group) {
        return Case.result(() -> {
            for (GroupListing each : run.admin().listGroups().all().get()) {
                if (each.groupId().equals(group)) {
                    return List.of(each.protocol(), each.groupState().map(Object::toString).orElse(""),
                            each.type().map(Object::toString).orElse(""));
                }
            }
            return null;
        });
    }

    private static Object offsets(Case run, String group) {
        return Case.result(() -> {
            Map<Integer, Object> found = new TreeMap<>();
            run.admin().listConsumerGroupOffsets(group).partitionsToOffsetAndMetadata().get().forEach((place, at) ->
                    found.put(place.partition(), at == null ? null : List.of(at.offset(), at.metadata())));
            return found;
        });
    }

    static void recordsAndOffsets(Case run) throws Exception {
        Admin admin = run.admin();
        String topic = run.topic("t", 1);
        TopicPartition place = new TopicPartition(topic, 0);
        run.send(run.producer(), topic, 0, "a", "b", "c", "d");
        for (OffsetSpec spec : List.of(OffsetSpec.earliest(), OffsetSpec.latest(), OffsetSpec.forTimestamp(0))) {
            run.saw("offset", spec.getClass().getSimpleName(), offset(admin, place, spec));
        }
        for (long before : new long[] {2, 9, -1}) {
            run.saw("deleted", before, Case.result(() -> admin.deleteRecords(
                    Map.of(place, RecordsToDelete.beforeOffset(before))).lowWatermarks().get(place).get()
                            .lowWatermark()), offset(admin, place, OffsetSpec.earliest()));
        }
        run.saw("gone", offset(admin, new TopicPartition(run.name("gone"), 0), OffsetSpec.latest()));
    }

    private static Object offset(Admin admin, TopicPartition place, OffsetSpec spec) {
        return Case.result(() -> admin.listOffsets(Map.of(place, spec)).partitionResult(place).get().offset());
    }

    static void cluster(Case run) throws Exception {
        Admin admin = run.admin();
        run.saw("cluster", admin.describeCluster().clusterId().get().length(),
                admin.describeCluster().nodes().get().size(), admin.describeCluster().controller().get().id());
        var features = admin.describeFeatures().featureMetadata().get();
        var level = features.finalizedFeatures().get("transaction.version");
        var levels = features.supportedFeatures().get("transaction.version");
        run.saw("transactions", level.minVersionLevel(), level.maxVersionLevel(), levels.minVersion(),
                levels.maxVersion());
        String topic = run.topic("t", 1);
        run.send(run.producer(), topic, 0, "a");
        int node = admin.describeCluster().nodes().get().iterator().next().id();
        run.saw("logs", admin.describeLogDirs(List.of(node)).allDescriptions().get().get(node).values().stream()
                .anyMatch(each -> each.replicaInfos().containsKey(new TopicPartition(topic, 0))));
        run.saw("quorum", admin.describeMetadataQuorum().quorumInfo().get().leaderId());
    }
}
