// Scenarios of the npm client `mqtt`, one at a time; what was seen is printed as lines of JSON:
//
//     node mqtt.mjs PORT ENDING SCENARIO

import { once } from "node:events";
import process from "node:process";

import mqtt from "mqtt";

const [port, ending, scenario] = process.argv.slice(2);

function saw(...line) {
  console.log(JSON.stringify(line));
}

async function connect(word, options = {}) {
  const client = mqtt.connect(`mqtt://127.0.0.1:${port}`, { clientId: word + ending, reconnectPeriod: 0, ...options });
  const messages = [];
  const waiting = [];
  client.on("message", (topic, payload, packet) => {
    const message = [topic, payload.toString(), packet.qos, packet.retain];
    if (waiting.length) waiting.shift()(message);
    else messages.push(message);
  });
  client.got = () => messages.length ? messages.shift() : new Promise((resolve) => waiting.push(resolve));
  const [connack] = await once(client, "connect");
  client.present = connack.sessionPresent;
  return client;
}

const scenarios = {
  async publish_and_subscribe() {
    for (const protocolVersion of [4, 5]) {
      const reader = await connect(`reader${protocolVersion}`, { protocolVersion });
      const writer = await connect(`writer${protocolVersion}`, { protocolVersion });
      const granted = await reader.subscribeAsync(`t${ending}/+`, { qos: 2 });
      saw("granted", granted.map(({ qos }) => qos));
      for (const qos of [0, 1, 2]) {
        await writer.publishAsync(`t${ending}/${qos}`, `quality ${qos}`, { qos });
        saw("got", await reader.got());
      }
      await reader.unsubscribeAsync(`t${ending}/+`);
      await reader.endAsync();
      await writer.endAsync();
    }
  },

  async sessions_and_wills() {
    const kept = { protocolVersion: 5, clean: false, properties: { sessionExpiryInterval: 100 } };
    const first = await connect("kept", kept);
    await first.subscribeAsync(`t${ending}`, { qos: 1 });
    await first.endAsync();
    const will = { topic: `t${ending}`, payload: Buffer.from("gone"), qos: 1, retain: false };
    const rude = await connect("rude", { will });
    rude.stream.destroy();
    const writer = await connect("writer");
    await writer.publishAsync(`t${ending}`, "after", { qos: 1 });
    const again = await connect("kept", kept);
    saw("present", again.present, [await again.got(), await again.got()]);
    await again.endAsync();
    await writer.endAsync();
  },
};

await scenarios[scenario]();
process.exit(0);
