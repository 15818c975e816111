// Clients over WebSocket, as in a web page: publish, and print what comes back.
//
//     node web.mjs CLIENT PORT

import process from "node:process";

import { Client } from "@stomp/stompjs";
import mqtt from "mqtt";
import WebSocket from "ws";

const [client, port] = process.argv.slice(2);
const url = `ws://127.0.0.1:${port}/ws`;

function got(body) {
  console.log(body);
  process.exit(0);
}

const clients = {
  mqtt() {
    const connected = mqtt.connect(url, { reconnectPeriod: 0 });
    connected.on("connect", () => {
      connected.subscribe("node/#", { qos: 1 }, () => connected.publish("node/a", "hello ü"));
    });
    connected.on("message", (topic, payload) => got(payload.toString()));
  },

  "@stomp/stompjs"() {
    const connected = new Client({
      webSocketFactory: () => new WebSocket(url, ["v12.stomp", "v11.stomp"]),
      connectHeaders: { login: "guest", passcode: "guest", host: "/" },
      reconnectDelay: 0,
      onConnect: () => {
        connected.subscribe("/queue/node", (message) => got(message.body));
        connected.publish({ destination: "/queue/node", body: "hello ü" });
      },
      onStompError: (frame) => {
        console.error(frame.headers.message, frame.body);
        process.exit(1);
      },
    });
    connected.activate();
  },
};

clients[client]();
