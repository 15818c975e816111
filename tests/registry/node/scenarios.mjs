// Scenarios of npm's clients of the schema registry, one at a time, each on a registry of its own:
//
//     node scenarios.mjs URL SCENARIO      ends with 0 if all was as it should be
//     node scenarios.mjs                   prints the names
//
// `@confluentinc/schemaregistry` is Confluent's, with the executors of rules that it brings along;
// `@kafkajs/confluent-schema-registry` is what users of KafkaJS take.

import assert from "node:assert/strict";
import process from "node:process";

import { create } from "@bufbuild/protobuf";
import confluent from "@confluentinc/schemaregistry";
import kafkajs from "@kafkajs/confluent-schema-registry";

const [url, name] = process.argv.slice(2);

const { SchemaRegistryClient, SerdeType, RuleMode } = confluent;
const TOPIC = "orders";
const SUBJECT = "orders-value";
const AUTOMATIC = { autoRegisterSchemas: true };
const LATEST = { autoRegisterSchemas: false, useLatestVersion: true };

const client = (address = url) => SchemaRegistryClient.newClient({ baseURLs: [address], maxRetries: 0 });
const record = (...fields) =>
  JSON.stringify({
    type: "record",
    name: "Order",
    fields: fields.map((field) => (typeof field === "string" ? { name: field, type: "string" } : field)),
  });
const NOTE = { name: "note", type: "string", default: "" };

async function refused(code, deed) {
  await assert.rejects(deed, (error) => error.errorCode === code || assert.fail(`${error.errorCode}: ${error}`));
}

const scenarios = {
  async every_call() {
    const one = { schema: record("what"), schemaType: "AVRO" };
    const two = { schema: record("what", NOTE), schemaType: "AVRO" };
    const registry = client();
    assert.equal(await registry.register(SUBJECT, one), 1);
    const whole = await registry.registerFullResponse(SUBJECT, two, true);
    assert.deepEqual([whole.id, whole.version], [2, 2]);
    const fresh = client();
    assert.equal((await fresh.getBySubjectAndId(SUBJECT, 1)).schema, one.schema);
    assert.equal((await fresh.getByGuid(whole.guid)).schemaType ?? "AVRO", "AVRO");
    assert.equal(await fresh.getId(SUBJECT, one), 1);
    assert.equal((await fresh.getLatestSchemaMetadata(SUBJECT)).version, 2);
    assert.equal((await fresh.getSchemaMetadata(SUBJECT, 1)).id, 1);
    assert.deepEqual(await fresh.getAllVersions(SUBJECT), [1, 2]);
    assert.equal(await fresh.getVersion(SUBJECT, one), 1);
    assert.deepEqual(await fresh.getAllSubjects(), [SUBJECT]);
    const other = { schema: record("what", "whom"), schemaType: "AVRO" };
    assert.equal(await fresh.testSubjectCompatibility(SUBJECT, other), false);
    assert.equal(await fresh.testCompatibility(SUBJECT, 1, two), true);
    await refused(409, () => fresh.register(SUBJECT, other));
    assert.equal(await fresh.updateCompatibility(SUBJECT, "FULL"), "FULL");
    assert.equal(await fresh.getCompatibility(SUBJECT), "FULL");
    assert.equal(await fresh.updateDefaultCompatibility("NONE"), "NONE");
    assert.equal(await fresh.getDefaultCompatibility(), "NONE");
    await fresh.updateConfig(SUBJECT, { normalize: true, compatibilityGroup: "major" });
    assert.deepEqual(await fresh.getConfig(SUBJECT), {
      compatibilityLevel: "FULL",
      compatibilityGroup: "major",
      normalize: true,
    });
    assert.equal(await fresh.deleteSubjectVersion(SUBJECT, 2, false), 2);
    assert.deepEqual(await fresh.deleteSubject(SUBJECT, false), [1]);
    assert.deepEqual(await fresh.deleteSubject(SUBJECT, true), [1, 2]);
    await refused(40401, () => client().getAllVersions(SUBJECT));
  },

  async avro() {
    const registry = client();
    await registry.register(SUBJECT, { schema: record("what"), schemaType: "AVRO" });
    const old = await new confluent.AvroSerializer(registry, SerdeType.VALUE, LATEST).serialize(TOPIC, {
      what: "tea",
    });
    await registry.register(SUBJECT, { schema: record("what", NOTE), schemaType: "AVRO" });
    const reader = new confluent.AvroDeserializer(client(), SerdeType.VALUE, { useLatestVersion: true });
    assert.deepEqual({ ...(await reader.deserialize(TOPIC, old)) }, { what: "tea", note: "" });
  },

  async json() {
    const schema = { type: "object", properties: { what: { type: "string" } }, required: ["what"] };
    await client().register(SUBJECT, { schema: JSON.stringify(schema), schemaType: "JSON" });
    const writer = new confluent.JsonSerializer(client(), SerdeType.VALUE, { ...LATEST, validate: true });
    const value = await writer.serialize(TOPIC, { what: "tea" });
    const reader = new confluent.JsonDeserializer(client(), SerdeType.VALUE, {});
    assert.deepEqual(await reader.deserialize(TOPIC, value), { what: "tea" });
    await assert.rejects(() => writer.serialize(TOPIC, { what: 1 }));
  },

  async protobuf() {
    const writer = new confluent.ProtobufSerializer(client(), SerdeType.VALUE, AUTOMATIC);
    writer.registry.add(confluent.DecimalSchema);
    const message = create(confluent.DecimalSchema, { value: Uint8Array.of(7), precision: 3, scale: 2 });
    const value = await writer.serialize(TOPIC, message);
    const reader = new confluent.ProtobufDeserializer(client(), SerdeType.VALUE, {});
    const found = await reader.deserialize(TOPIC, value);
    assert.deepEqual([[...found.value], found.precision, found.scale], [[7], 3, 2]);
  },

  // Rules that the subject gives all of its schemas, executed by Confluent's own CEL and JSONata.
  async rules() {
    confluent.CelExecutor.register();
    confluent.JsonataExecutor.register();
    const registry = client();
    const condition = {
      name: "short",
      kind: "CONDITION",
      mode: RuleMode.WRITE,
      type: "CEL",
      expr: "message.what != 'coal'",
    };
    await registry.updateConfig(SUBJECT, {
      compatibilityGroup: "major",
      defaultRuleSet: { domainRules: [condition] },
    });
    const first = { schema: record("what"), schemaType: "AVRO", metadata: { properties: { major: "1" } } };
    await registry.register(SUBJECT, first);
    const found = await client().getLatestSchemaMetadata(SUBJECT);
    assert.deepEqual(found.ruleSet.domainRules, [{ ...condition, disabled: false }]);
    const writer = new confluent.AvroSerializer(client(), SerdeType.VALUE, LATEST);
    const old = await writer.serialize(TOPIC, { what: "tea" });
    await assert.rejects(() => writer.serialize(TOPIC, { what: "coal" }), /short/);
    // A second generation, incompatible with the first, and a rule that leads from one to the other.
    const upgrade = {
      name: "rename",
      kind: "TRANSFORM",
      mode: RuleMode.UPGRADE,
      type: "JSONATA",
      expr: "$merge([$sift($, function($v, $k) {$k != 'what'}), {'title': $.'what'}])",
    };
    const second = {
      schema: record("title"),
      schemaType: "AVRO",
      metadata: { properties: { major: "2" } },
      ruleSet: { migrationRules: [upgrade] },
    };
    await registry.register(SUBJECT, second);
    const reader = new confluent.AvroDeserializer(client(), SerdeType.VALUE, {
      useLatestWithMetadata: { major: "2" },
    });
    assert.deepEqual({ ...(await reader.deserialize(TOPIC, old)) }, { title: "tea" });
  },

  async contexts() {
    const [outside, inside] = [client(), client(`${url}/contexts/.sales`)];
    await outside.register(SUBJECT, { schema: record("other"), schemaType: "AVRO" });
    await inside.register(SUBJECT, { schema: record("what"), schemaType: "AVRO" });
    const value = await new confluent.AvroSerializer(inside, SerdeType.VALUE, LATEST).serialize(TOPIC, {
      what: "tea",
    });
    assert.equal(value.readUInt32BE(1), 1);
    const reader = new confluent.AvroDeserializer(inside, SerdeType.VALUE, {});
    assert.deepEqual({ ...(await reader.deserialize(TOPIC, value)) }, { what: "tea" });
    assert.deepEqual(await outside.getAllSubjects(), [`:.sales:${SUBJECT}`, SUBJECT]);
  },

  async kafkajs_registry() {
    const registry = new kafkajs.SchemaRegistry({ host: url, retry: { retries: 0 } });
    const schema = { type: kafkajs.SchemaType.AVRO, schema: record("what") };
    const { id } = await registry.register(schema, { subject: SUBJECT });
    assert.equal(id, 1);
    assert.equal((await registry.register(schema, { subject: SUBJECT })).id, 1);
    const value = await registry.encode(id, { what: "tea" });
    const reader = new kafkajs.SchemaRegistry({ host: url });
    assert.deepEqual({ ...(await reader.decode(value)) }, { what: "tea" });
    assert.equal(await reader.getLatestSchemaId(SUBJECT), 1);
    assert.equal(await reader.getRegistryId(SUBJECT, 1), 1);
    assert.equal(await reader.getRegistryIdBySchema(SUBJECT, schema), 1);
    const json = { type: "object", properties: { count: { type: "integer" } } };
    const other = { type: kafkajs.SchemaType.JSON, schema: JSON.stringify(json) };
    const { id: second } = await registry.register(other, { subject: "json" });
    assert.deepEqual(await reader.decode(await registry.encode(second, { count: 1 })), { count: 1 });
    const proto = 'syntax = "proto3"; package shop; message Order { string what = 1; }';
    const third = await registry.register(
      { type: kafkajs.SchemaType.PROTOBUF, schema: proto },
      { subject: "proto" },
    );
    assert.equal((await reader.decode(await registry.encode(third.id, { what: "tea" }))).what, "tea");
    await assert.rejects(
      () => registry.register({ ...schema, schema: record("what", "whom") }, { subject: SUBJECT }),
      /incompatible/,
    );
  },
};

if (!url) {
  console.log(Object.keys(scenarios).join("\n"));
} else {
  await scenarios[name]();
}
