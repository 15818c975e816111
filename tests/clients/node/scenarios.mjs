// Scenarios of amqplib, one at a time:
//
//     node scenarios.mjs AMQP_URL UNIQUE_NAME SCENARIO
//     node scenarios.mjs --list
//
// Ends with status 0 if the scenario held, otherwise with the failed assertion on standard error.

import assert from "node:assert/strict";
import { once } from "node:events";
import process from "node:process";

import amqp from "amqplib";

const WAIT_MS = 15000;

/** Reject unless `promise` settles in time. */
function within(promise, what) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`not within ${WAIT_MS} ms: ${what}`)), WAIT_MS);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

/** Consume until `count` messages are here. */
async function collect(channel, queue, count, options = {}) {
  const messages = [];
  let done;
  const all = new Promise((resolve) => { done = resolve; });
  const { consumerTag } = await channel.consume(queue, (message) => {
    messages.push(message);
    if (messages.length === count) done();
  }, options);
  await within(all, `${messages.length} of ${count} messages`);
  await channel.cancel(consumerTag);
  return messages;
}

const scenarios = {
  async publish_and_get({ connection, name }) {
    const channel = await connection.createChannel();
    await channel.assertQueue(name, { exclusive: true });
    const sent = {
      contentType: "text/plain", contentEncoding: "utf-8", headers: { text: "ü", number: 7, list: [1, "two", true], nested: { deep: null } },
      deliveryMode: 2, priority: 3, correlationId: "c", replyTo: "r", expiration: "60000", messageId: "m", timestamp: 1700000000,
      type: "t", userId: "guest", appId: "a",
    };
    channel.sendToQueue(name, Buffer.from("body"), sent);
    const confirmed = await channel.checkQueue(name);
    assert.ok(confirmed.messageCount <= 1);
    const [message] = await collect(channel, name, 1, { noAck: true });
    assert.equal(message.content.toString(), "body");
    assert.equal(message.fields.routingKey, name);
    assert.equal(message.fields.redelivered, false);
    for (const key of Object.keys(sent)) assert.deepEqual(message.properties[key], sent[key], key);
    assert.equal(await channel.get(name), false);
  },

  async confirms({ connection, name }) {
    const channel = await connection.createConfirmChannel();
    await channel.assertQueue(name, { durable: true, autoDelete: true });
    for (let n = 0; n < 500; n++) channel.sendToQueue(name, Buffer.from(`${n}`), { persistent: true });
    await within(channel.waitForConfirms(), "500 confirms");
    assert.equal((await channel.checkQueue(name)).messageCount, 500);
    const messages = await collect(channel, name, 500, { noAck: true });
    assert.deepEqual(messages.map((each) => Number(each.content.toString())), [...Array(500).keys()]);
  },

  async nacked_publish({ connection, name }) {
    const channel = await connection.createConfirmChannel();
    await channel.assertQueue(name, { exclusive: true, maxLength: 1, overflow: "reject-publish" });
    const publish = (body) => new Promise((resolve) => {
      channel.sendToQueue(name, Buffer.from(body), {}, (error) => resolve(error === null));
    });
    assert.equal(await within(publish("first"), "an ack"), true);
    assert.equal(await within(publish("second"), "a nack"), false);
  },

  async mandatory_return({ connection, name }) {
    const channel = await connection.createConfirmChannel();
    const order = [];
    channel.on("return", (message) => order.push(`return ${message.fields.replyCode} ${message.content}`));
    await within(new Promise((resolve, reject) => {
      channel.publish("", name, Buffer.from("lost"), { mandatory: true }, (error) => {
        order.push("confirm");
        if (error) reject(error); else resolve();
      });
    }), "the confirm");
    assert.deepEqual(order, ["return 312 lost", "confirm"]);
  },

  async prefetch_and_acknowledge({ connection, name }) {
    const channel = await connection.createConfirmChannel();
    await channel.assertQueue(name, { exclusive: true });
    for (let n = 0; n < 10; n++) channel.sendToQueue(name, Buffer.from(`${n}`));
    await channel.waitForConfirms();
    await channel.prefetch(2);
    const seen = [];
    let done;
    const all = new Promise((resolve) => { done = resolve; });
    let outstanding = 0;
    let acknowledged = 0;
    await channel.consume(name, (message) => {
      outstanding += 1;
      assert.ok(outstanding <= 2, "never more than the prefetch");
      seen.push(Number(message.content.toString()));
      setImmediate(() => {
        outstanding -= 1;
        channel.ack(message);
        acknowledged += 1;
        if (acknowledged === 10) done();
      });
    });
    await within(all, "10 messages");
    assert.deepEqual(seen, [...Array(10).keys()]);
  },

  async nack_requeues_and_dead_letters({ connection, name }) {
    const channel = await connection.createConfirmChannel();
    await channel.assertExchange(`${name}-dlx`, "fanout", { autoDelete: true });
    await channel.assertQueue(`${name}-dead`, { exclusive: true });
    await channel.bindQueue(`${name}-dead`, `${name}-dlx`, "");
    await channel.assertQueue(name, { exclusive: true, deadLetterExchange: `${name}-dlx` });
    channel.sendToQueue(name, Buffer.from("x"));
    await channel.waitForConfirms();
    const first = await channel.get(name);
    channel.nack(first, false, true);
    const [second] = await collect(channel, name, 1);
    assert.equal(second.fields.redelivered, true);
    channel.nack(second, false, false);
    const [dead] = await collect(channel, `${name}-dead`, 1, { noAck: true });
    assert.equal(dead.properties.headers["x-death"][0].reason, "rejected");
    assert.equal(dead.properties.headers["x-death"][0].count, 1);
  },

  async exchanges({ connection, name }) {
    const channel = await connection.createConfirmChannel();
    await channel.assertExchange(`${name}-topic`, "topic", { autoDelete: true });
    await channel.assertExchange(`${name}-fanout`, "fanout", { autoDelete: true });
    await channel.bindExchange(`${name}-fanout`, `${name}-topic`, "a.*");
    const { queue } = await channel.assertQueue("", { exclusive: true });
    assert.match(queue, /^amq\.gen-/);
    await channel.bindQueue(queue, `${name}-fanout`, "");
    for (const key of ["a.b", "b.a", "a.c"]) channel.publish(`${name}-topic`, key, Buffer.from(key));
    await channel.waitForConfirms();
    const messages = await collect(channel, queue, 2, { noAck: true });
    assert.deepEqual(messages.map((each) => each.fields.routingKey), ["a.b", "a.c"]);
    await channel.unbindExchange(`${name}-fanout`, `${name}-topic`, "a.*");
    await channel.unbindQueue(queue, `${name}-fanout`, "");
  },

  async direct_reply_to({ connection, name }) {
    const [client, server] = [await connection.createChannel(), await connection.createChannel()];
    await server.assertQueue(name, { exclusive: true });
    await server.consume(name, (message) => {
      const { replyTo, correlationId } = message.properties;
      server.sendToQueue(replyTo, Buffer.from(`${message.content} answered`), { correlationId });
    }, { noAck: true });
    const answered = new Promise((resolve) => {
      client.consume("amq.rabbitmq.reply-to", resolve, { noAck: true }).then(() => {
        client.sendToQueue(name, Buffer.from("question"), { replyTo: "amq.rabbitmq.reply-to", correlationId: "7" });
      });
    });
    const reply = await within(answered, "a reply");
    assert.equal(reply.content.toString(), "question answered");
    assert.equal(reply.properties.correlationId, "7");
  },

  async expiration({ connection, name }) {
    const channel = await connection.createConfirmChannel();
    await channel.assertQueue(`${name}-after`, { exclusive: true });
    await channel.assertQueue(name, { exclusive: true, deadLetterExchange: "", deadLetterRoutingKey: `${name}-after` });
    channel.sendToQueue(name, Buffer.from("x"), { expiration: 100 });
    const [message] = await collect(channel, `${name}-after`, 1, { noAck: true });
    assert.equal(message.properties.headers["x-death"][0].reason, "expired");
    assert.equal(message.properties.expiration, undefined);
  },

  async channel_errors({ connection, name }) {
    const broken = await connection.createChannel();
    const failed = once(broken, "error");
    await assert.rejects(broken.checkQueue(name), /404 \(NOT-FOUND\) with message "NOT_FOUND - no queue/);
    const [error] = await within(failed, "the error event");
    assert.equal(error.code, 404);
    const channel = await connection.createChannel();
    channel.on("error", () => {});
    await channel.assertQueue(name, { exclusive: true });
    await assert.rejects(channel.assertQueue(name, { exclusive: true, autoDelete: true }), /406 \(PRECONDITION-FAILED\)/);
  },

  async server_cancels({ connection, name }) {
    const [consumer, deleter] = [await connection.createChannel(), await connection.createChannel()];
    await deleter.assertQueue(name);
    const cancelled = new Promise((resolve, reject) => {
      consumer.consume(name, (message) => (message === null ? resolve() : reject(new Error("a message"))))
        .then(() => deleter.deleteQueue(name));
    });
    await within(cancelled, "the cancel");
  },

  async purge_and_delete_count({ connection, name }) {
    const channel = await connection.createConfirmChannel();
    await channel.assertQueue(name);
    for (let n = 0; n < 3; n++) channel.sendToQueue(name, Buffer.from("x"));
    await channel.waitForConfirms();
    assert.equal((await channel.purgeQueue(name)).messageCount, 3);
    channel.sendToQueue(name, Buffer.from("x"));
    await channel.waitForConfirms();
    assert.equal((await channel.deleteQueue(name)).messageCount, 1);
    assert.equal((await channel.deleteQueue(name)).messageCount, 0);
  },

  async large_and_empty_bodies({ connection, name }) {
    const channel = await connection.createConfirmChannel();
    await channel.assertQueue(name, { exclusive: true });
    const bodies = [Buffer.alloc(0), Buffer.alloc(131064, 1), Buffer.alloc(131065, 2), Buffer.alloc(2000000, 3)];
    for (const body of bodies) channel.sendToQueue(name, body);
    await channel.waitForConfirms();
    const messages = await collect(channel, name, bodies.length, { noAck: true });
    messages.forEach((message, index) => assert.ok(message.content.equals(bodies[index]), `body ${index}`));
  },

  async small_frames({ url, name }) {
    const connection = await amqp.connect(`${url}?frameMax=4096&heartbeat=5&channelMax=7`);
    const channel = await connection.createConfirmChannel();
    await channel.assertQueue(name, { exclusive: true });
    const body = Buffer.alloc(100000, "abc");
    channel.sendToQueue(name, body);
    await channel.waitForConfirms();
    const [message] = await collect(channel, name, 1, { noAck: true });
    assert.ok(message.content.equals(body));
    await connection.close();
  },

  async wrong_password({ url }) {
    const wrong = new URL(url);
    wrong.password = "wrong";
    await assert.rejects(amqp.connect(wrong.href), /403 \(ACCESS-REFUSED\)|ACCESS_REFUSED/);
  },

  async update_secret({ connection }) {
    await within(connection.updateSecret(Buffer.from("guest"), "renewed"), "update-secret-ok");
    await connection.createChannel();
  },
};

if (process.argv[2] === "--list") {
  console.log(Object.keys(scenarios).join("\n"));
} else {
  const [url, name, scenario] = process.argv.slice(2);
  const connection = await amqp.connect(url);
  await scenarios[scenario]({ connection, url, name });
  await connection.close();
}
