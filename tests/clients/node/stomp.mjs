// Scenarios of the npm client `@stomp/stompjs`, one at a time; what was seen is printed as lines of JSON:
//
//     node stomp.mjs PORT ENDING SCENARIO
//
// The client wants something like a WebSocket. Here it is a TCP socket, so that brokers need no port for the web.

import net from "node:net";
import process from "node:process";

import { Client } from "@stomp/stompjs";

const [port, ending, scenario] = process.argv.slice(2);

function saw(...line) {
  console.log(JSON.stringify(line));
}

class TcpSocket {
  constructor() {
    this.readyState = 0;
    this.binaryType = "arraybuffer";
    this.url = `tcp://127.0.0.1:${port}`;
    this.socket = net.connect(port, "127.0.0.1", () => {
      this.readyState = 1;
      this.onopen?.();
    });
    this.socket.on("data", (data) => this.onmessage?.({ data: new Uint8Array(data).buffer }));
    this.socket.on("error", (error) => this.onerror?.(error));
    this.socket.on("close", () => {
      this.readyState = 3;
      this.onclose?.({ wasClean: true, code: 1000 });
    });
  }

  send(data) {
    this.socket.write(typeof data === "string" ? data : new Uint8Array(data));
  }

  close() {
    this.readyState = 2;
    this.socket.end();
  }

  terminate() {
    this.socket.destroy();
  }
}

class Queue {
  #there = [];
  #waiting = [];

  put(one) {
    if (this.#waiting.length) this.#waiting.shift()(one);
    else this.#there.push(one);
  }

  next() {
    return this.#there.length ? this.#there.shift() : new Promise((resolve) => this.#waiting.push(resolve));
  }
}

let receipts = 0;

// A client that is connected. `errors` has the ERROR frames.
function connect(options = {}) {
  const errors = new Queue();
  return new Promise((resolve) => {
    const client = new Client({
      webSocketFactory: () => new TcpSocket(),
      connectHeaders: { login: "guest", passcode: "guest", host: "/" },
      reconnectDelay: 0,
      heartbeatIncoming: 0,
      heartbeatOutgoing: 0,
      onConnect: () => resolve(client),
      onStompError: (frame) => {
        errors.put("error");
        resolve(client);
      },
      ...options,
    });
    client.errors = errors;
    // Do something that has a receipt, and wait for it.
    client.done = (act) => new Promise((resolved) => {
      const receipt = `done-${++receipts}`;
      client.watchForReceipt(receipt, resolved);
      act({ receipt });
    });
    client.put = (destination, body, headers = {}) => client.done(
      (receipt) => client.publish({ destination, body, headers: { ...headers, ...receipt } }));
    client.from = async (destination, headers = {}) => {
      const messages = new Queue();
      await client.done((receipt) => {
        messages.subscription = client.subscribe(destination, (one) => messages.put(one), { ...headers, ...receipt });
      });
      return messages;
    };
    client.activate();
  });
}

const scenarios = {
  async publish_and_subscribe() {
    const client = await connect();
    const messages = await client.from(`/queue/q${ending}`);
    for (const body of ["plain", "ü\nlines\n", "{\"json\": true}"]) {
      await client.put(`/queue/q${ending}`, body, { persistent: "true", "odd:name": "a:b\\c\nd" });
      const message = await messages.next();
      saw("got", message.body, message.headers["odd:name"], client.connectedVersion);
    }
    await client.deactivate();
  },

  async binary_bodies() {
    const client = await connect();
    const messages = await client.from(`/queue/b${ending}`);
    await client.done((receipt) => client.publish({
      destination: `/queue/b${ending}`,
      binaryBody: new Uint8Array([0, 1, 254, 255, 0]),
      headers: receipt,
    }));
    saw("got", [...(await messages.next()).binaryBody]);
    await client.deactivate();
  },

  async acknowledged_one_by_one() {
    const client = await connect();
    const individual = { ack: "client-individual" };
    const messages = await client.from(`/queue/a${ending}`, individual);
    for (const body of ["0", "1", "2"]) await client.put(`/queue/a${ending}`, body, { persistent: "true" });
    const got = [await messages.next(), await messages.next(), await messages.next()];
    await client.done((receipt) => got[1].ack(receipt));
    await client.deactivate();
    const again = await connect();
    const left = await again.from(`/queue/a${ending}`, individual);
    const bodies = [];
    for (let count = 0; count < 2; count++) {
      const message = await left.next();
      bodies.push(message.body);
      await again.done((receipt) => message.ack(receipt));
    }
    saw("again", bodies);
    await again.deactivate();
  },

  async transactions() {
    const client = await connect();
    const messages = await client.from(`/queue/t${ending}`);
    const destination = `/queue/t${ending}`;
    for (const end of ["abort", "commit"]) {
      const transaction = client.begin();
      for (const number of [0, 1]) {
        client.publish({ destination, body: `${end} ${number}`, headers: { transaction: transaction.id } });
      }
      transaction[end]();
    }
    await client.put(destination, "last");
    saw("got", [(await messages.next()).body, (await messages.next()).body, (await messages.next()).body]);
    await client.deactivate();
  },

  async topics() {
    const topic = `/topic/n${ending.replace("-", "")}`;
    const clients = [await connect(), await connect()];
    const readers = [];
    for (const client of clients) readers.push(await client.from(`${topic}.*`));
    await clients[0].put(`${topic}.a`, "to both");
    saw("got", [(await readers[0].next()).body, (await readers[1].next()).body]);
    readers[0].subscription.unsubscribe();
    await clients[0].put(`${topic}.b`, "to one");
    saw("then", (await readers[1].next()).body);
    for (const client of clients) await client.deactivate();
  },

  async comes_back_by_itself() {
    const client = await connect({ reconnectDelay: 50 });
    const connected = new Queue();
    client.onConnect = () => connected.put("again");
    client.forceDisconnect();
    saw("connected", await connected.next());
    const messages = await client.from(`/queue/r${ending}`);
    await client.put(`/queue/r${ending}`, "afterwards");
    saw("got", (await messages.next()).body);
    await client.deactivate();
  },

  async heart_beats() {
    const client = await connect({ heartbeatIncoming: 300, heartbeatOutgoing: 300 });
    await new Promise((resolve) => setTimeout(resolve, 2000));
    saw("still there", client.connected);
    await client.deactivate();
  },

  async what_is_wrong_is_an_error() {
    const client = await connect();
    client.commit("unknown");
    saw("told", await client.errors.next());
    client.forceDisconnect();
  },
};

await scenarios[scenario]();
process.exit(0);
