// Plays scenarios with KafkaJS: see `tests/compare_kafka/scenarios/programs_tools.py` for what is told and answered.

import readline from "node:readline";
import process from "node:process";

import kafkajs from "kafkajs";

const { CompressionTypes, ConfigResourceTypes, Kafka, logLevel, Partitioners } = kafkajs;

const PROMPT = { heartbeatInterval: 200, maxWaitTimeInMs: 100, retry: { retries: 10, initialRetryTime: 50 } };

const say = (what) => console.log(JSON.stringify(what));

class Case {
  #ending;
  #open = [];

  constructor(bootstrap, sasl, ending) {
    [this.bootstrap, this.sasl, this.#ending] = [bootstrap, sasl, ending];
  }

  name(word) {
    return word + this.#ending;
  }

  saw(...line) {
    say(JSON.parse(JSON.stringify(line ?? null).replaceAll(this.#ending, "")));
  }

  kafka(options = {}) {
    const brokers = [options.sasl ? this.sasl : this.bootstrap];
    return new Kafka({ brokers, logLevel: logLevel.NOTHING, retry: { retries: 3, initialRetryTime: 50 }, ...options });
  }

  async opened(client) {
    await client.connect();
    this.#open.push(client);
    return client;
  }

  admin(options) {
    return this.opened(this.kafka(options).admin());
  }

  producer(options = {}) {
    return this.opened(this.kafka().producer({ createPartitioner: Partitioners.DefaultPartitioner, ...options }));
  }

  // Records of a topic as a group gets them, until there are so many; the consumer stays a member.
  async consumed(topic, count, options = {}) {
    const groupId = options.groupId ?? this.name("g");
    const consumer = await this.opened(this.kafka().consumer({ ...PROMPT, ...options, groupId }));
    await consumer.subscribe({ topic, fromBeginning: true });
    const found = [];
    await new Promise((resolve, reject) => {
      consumer.on(consumer.events.CRASH, ({ payload }) => reject(payload.error));
      consumer
        .run({
          eachMessage: async ({ partition, message }) => {
            const headers = Object.entries(message.headers).map(([key, value]) => [key, String(value)]);
            const text = (bytes) => (bytes == null ? null : String(bytes));
            found.push([partition, message.offset, text(message.key), text(message.value), headers]);
            if (found.length === count) resolve();
          },
        })
        .catch(reject);
    });
    return [found.sort((one, other) => one[0] - other[0] || one[1] - other[1]), consumer];
  }

  async closed(client) {
    this.#open = this.#open.filter((each) => each !== client);
    await client.disconnect();
  }

  async close() {
    for (const client of this.#open.reverse()) await client.disconnect();
  }

  // What a deed ends with: its result, or the error that it raises.
  async tried(what, deed) {
    try {
      this.saw(what, (await deed()) ?? null);
    } catch (error) {
      const cause = error.errors?.[0] ?? error.cause ?? error;
      this.saw(what, error.name, cause.type ?? null);
    }
  }
}

// What `ask` returns as soon as it is right: Kafka answers a change before it shows everywhere.
async function until(ask, isRight) {
  for (let turn = 0; ; turn += 1) {
    const found = await ask().catch((error) => error);
    if (!(found instanceof Error) && isRight(found)) return found;
    if (turn === 100) throw found instanceof Error ? found : new Error("it never came to be");
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

const partitionsOf = async (admin, name) =>
  sorted((await admin.fetchTopicMetadata({ topics: [name] })).topics[0].partitions, "partitionId");

async function topic(c, admin, word, numPartitions = 1, configEntries = []) {
  const name = c.name(word);
  await admin.createTopics({ topics: [{ topic: name, numPartitions, configEntries }] });
  await until(() => admin.fetchTopicOffsets(name), (found) => found.length === numPartitions);
  return name;
}

const sorted = (list, key) => list.sort((one, other) => (one[key] > other[key] ? 1 : -1));

const scenarios = {
  async round_trip(c) {
    const name = await topic(c, await c.admin(), "t", 2);
    const producer = await c.producer();
    const sent = await producer.send({
      topic: name,
      messages: [
        { key: "k1", value: "v1", headers: { a: "1", b: ["2", "3"] } },
        { key: "k2", value: null },
        { value: "by hand", partition: 0 },
      ],
    });
    const places = sent.map(({ partition, errorCode, baseOffset }) => [partition, errorCode, baseOffset]);
    c.saw("sent", places.sort());
    await producer.send({ topic: name, compression: CompressionTypes.GZIP, messages: [{ key: "k1", value: "gzip" }] });
    c.saw("read", (await c.consumed(name, 4))[0]);
  },

  async acks(c) {
    const admin = await c.admin();
    const name = await topic(c, admin, "t", 1, [{ name: "max.message.bytes", value: "1000" }]);
    for (const acks of [0, 1, -1]) {
      const producer = await c.producer();
      await c.tried(`acks ${acks}`, async () => {
        const sent = await producer.send({ topic: name, acks, messages: [{ value: "a" }] });
        return sent.map(({ errorCode, baseOffset }) => [errorCode, baseOffset]);
      });
    }
    const producer = await c.producer({ idempotent: true });
    const sent = await producer.send({ topic: name, messages: [{ value: "once" }] });
    c.saw("idempotent", sent[0].baseOffset);
    await c.tried("too large", () => producer.send({ topic: name, messages: [{ value: "x".repeat(2000) }] }));
  },

  async commit_and_go_on(c) {
    const admin = await c.admin();
    const name = await topic(c, admin, "t");
    const group = c.name("g");
    const producer = await c.producer();
    await producer.send({ topic: name, messages: ["a", "b"].map((value) => ({ value })) });
    const [first, consumer] = await c.consumed(name, 2);
    c.saw("first", first);
    const { groups } = await admin.describeGroups([group]);
    const { errorCode, state, protocolType, protocol, members } = groups[0];
    c.saw("group", errorCode, state, protocolType, protocol, members.length);
    await c.closed(consumer);
    await producer.send({ topic: name, messages: [{ value: "c" }] });
    const [second, again] = await c.consumed(name, 1);
    c.saw("second", second);
    await c.closed(again);
    c.saw("offsets", await admin.fetchOffsets({ groupId: group, topics: [name] }));
    const listed = (await admin.listGroups()).groups.filter((each) => each.groupId === group);
    c.saw("listed", listed);
    await admin.resetOffsets({ groupId: group, topic: name, earliest: true });
    const whole = { groupId: group, topics: [name], resolveOffsets: true };
    c.saw("reset", await admin.fetchOffsets(whole));
    await c.tried("deleted", () => admin.deleteGroups([group]));
    await c.tried("deleted again", () => admin.deleteGroups([group]));
  },

  async two_members(c) {
    const name = await topic(c, await c.admin(), "t", 4);
    const group = c.name("g");
    const taken = [];
    const join = async (number) => {
      const consumer = await c.opened(
        c.kafka().consumer({ ...PROMPT, groupId: group, rebalanceTimeout: 5000 }),
      );
      await consumer.subscribe({ topic: name });
      const joined = new Promise((resolve) => {
        consumer.on(consumer.events.GROUP_JOIN, ({ payload }) => {
          taken[number] = payload.memberAssignment[name] ?? [];
          resolve();
        });
      });
      await consumer.run({ eachMessage: async () => {} });
      await joined;
      return consumer;
    };
    const settled = async (count) => {
      while (taken.reduce((sum, each) => sum + each.length, 0) !== 4 || taken.some((each) => each.length !== count)) {
        await new Promise((resolve) => setTimeout(resolve, 50));
      }
    };
    await join(0);
    c.saw("alone", taken[0].sort());
    const other = await join(1);
    await settled(2);
    c.saw("two", taken.map((each) => each.length), taken.flat().sort());
    await c.closed(other);
    taken.pop();
    await settled(4);
    c.saw("alone again", taken[0].sort());
  },

  async administration(c) {
    const admin = await c.admin();
    const { brokers, controller } = await admin.describeCluster();
    c.saw("cluster", brokers.map(({ nodeId }) => nodeId), controller);
    const name = await topic(c, admin, "t", 1, [{ name: "retention.ms", value: "5000" }]);
    await c.tried("made again", () => admin.createTopics({ topics: [{ topic: name }] }));
    await c.tried("no name", () => admin.createTopics({ topics: [{ topic: "a b" }] }));
    await c.tried("too many replicas", () =>
      admin.createTopics({ topics: [{ topic: c.name("u"), replicationFactor: 3 }] }),
    );
    await admin.createPartitions({ topicPartitions: [{ topic: name, count: 3 }] });
    await c.tried("fewer", () => admin.createPartitions({ topicPartitions: [{ topic: name, count: 2 }] }));
    c.saw("metadata", await until(() => partitionsOf(admin, name), (found) => found.length === 3));
    const entries = async (configNames) => {
      const resources = [{ type: ConfigResourceTypes.TOPIC, name, configNames }];
      return (await admin.describeConfigs({ resources })).resources[0].configEntries;
    };
    c.saw("config", await entries(["retention.ms"]));
    const altered = [{ name: "cleanup.policy", value: "compact" }];
    await admin.alterConfigs({
      validateOnly: false,
      resources: [{ type: ConfigResourceTypes.TOPIC, name, configEntries: altered }],
    });
    const words = ["retention.ms", "cleanup.policy"];
    const isAltered = (found) => found.some(({ configValue }) => configValue === "compact");
    c.saw("altered", sorted(await until(() => entries(words), isAltered), "configName"));
    const wrong = [{ name: "no.such.config", value: "1" }];
    await c.tried("wrong", () =>
      admin.alterConfigs({
        validateOnly: false,
        resources: [{ type: ConfigResourceTypes.TOPIC, name, configEntries: wrong }],
      }),
    );
    c.saw("listed", (await admin.listTopics()).includes(name));
    await admin.deleteTopics({ topics: [name] });
    await until(() => admin.listTopics(), (found) => !found.includes(name));
    await c.tried("gone", () => partitionsOf(admin, name));
    await c.tried("unknown", () => admin.fetchTopicMetadata({ topics: [c.name("nothing")] }).then(() => "made"));
  },

  async records(c) {
    const admin = await c.admin();
    const name = await topic(c, admin, "t", 1, [{ name: "retention.ms", value: "-1" }]);
    const producer = await c.producer();
    for (const [value, timestamp] of [["a", "1000"], ["b", "2000"], ["c", "3000"]]) {
      await producer.send({ topic: name, messages: [{ value, timestamp }] });
    }
    c.saw("offsets", await admin.fetchTopicOffsets(name));
    for (const time of [0, 1500, 2000, 9000]) c.saw(`at ${time}`, await admin.fetchTopicOffsetsByTimestamp(name, time));
    await admin.deleteTopicRecords({ topic: name, partitions: [{ partition: 0, offset: "2" }] });
    c.saw("fewer", await admin.fetchTopicOffsets(name));
    c.saw("left", (await c.consumed(name, 1))[0]);
    await c.tried("beyond", () =>
      admin.deleteTopicRecords({ topic: name, partitions: [{ partition: 0, offset: "9" }] }),
    );
  },

  async transactions(c) {
    const admin = await c.admin();
    const [input, output] = [await topic(c, admin, "in"), await topic(c, admin, "out")];
    const producer = await c.producer({
      idempotent: true,
      maxInFlightRequests: 1,
      transactionalId: c.name("tx"),
    });
    const write = async (value, end) => {
      const transaction = await producer.transaction();
      await transaction.send({ topic: output, messages: [{ value }] });
      const offsets = [{ partition: 0, offset: "7" }];
      await transaction.sendOffsets({
        consumerGroupId: c.name("source"),
        topics: [{ topic: input, partitions: offsets }],
      });
      await transaction[end]();
    };
    await write("given up", "abort");
    c.saw("after an abort", await admin.fetchOffsets({ groupId: c.name("source"), topics: [input] }));
    await write("done", "commit");
    c.saw("after a commit", await admin.fetchOffsets({ groupId: c.name("source"), topics: [input] }));
    c.saw("committed", (await c.consumed(output, 1))[0]);
    c.saw("all", (await c.consumed(output, 2, { groupId: c.name("all"), readUncommitted: true }))[0]);
    const other = await c.producer({ idempotent: true, maxInFlightRequests: 1, transactionalId: c.name("tx") });
    await (await other.transaction()).abort();
    await c.tried("fenced", () => write("too late", "commit"));
  },

  async logins(c) {
    for (const mechanism of ["plain", "scram-sha-256", "scram-sha-512"]) {
      for (const password of ["alice-secret", "wrong"]) {
        await c.tried(`${mechanism} ${password}`, async () => {
          const admin = await c.admin({ sasl: { mechanism, username: "alice", password }, retry: { retries: 0 } });
          return (await admin.describeCluster()).brokers.length;
        });
      }
    }
  },
};

for await (const line of readline.createInterface({ input: process.stdin })) {
  const [name, ...told] = line.split("\t");
  const c = new Case(...told);
  try {
    await scenarios[name](c);
  } catch (error) {
    c.saw("raised", error.name, error.message);
  }
  await c.close();
  say("end");
}
