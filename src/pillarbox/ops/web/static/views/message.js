// A form that publishes a message.

import { html } from "../react.js";
import { call, part } from "../api.js";
import { useApp } from "../live.js";
import { argumentsFrom, Form, linesFrom } from "../parts.js";

const PROPERTIES = ["content_type", "correlation_id", "reply_to", "expiration", "message_id", "type", "priority"];
const NUMBERS = ["priority", "timestamp", "delivery_mode"];

/** All but a few are texts, whatever they look like: `expiration = 60000`. */
const propertiesFrom = (text) => Object.fromEntries(
  linesFrom(text).map(([name, value]) => [name, NUMBERS.includes(name) ? Number(value) : value]),
);

/** `routingKey` is what the field begins with. */
export function MessageForm({ vhost, exchange, routingKey = "" }) {
  const app = useApp();
  async function publish({ routing_key: key, mode, headers, properties, payload, encoding }) {
    try {
      const given = { delivery_mode: Number(mode), headers: argumentsFrom(headers), ...propertiesFrom(properties) };
      const body = { properties: given, routing_key: key, payload, payload_encoding: encoding };
      const { routed } = await call("POST", `/api/exchanges/${part(vhost)}/${part(exchange)}/publish`, { body });
      app.notify(routed ? "The message is published" : "Published, but no queue took it", routed ? "good" : "warm");
      return routed;
    } catch (error) {
      app.notify(error.message, "bad");
      return false;
    }
  }
  return html`<${Form} button="Publish" onSubmit=${publish} fields=${[
    { name: "routing_key", label: "Routing key", value: routingKey },
    { name: "mode", label: "Delivery mode", options: [["1", "transient"], ["2", "persistent"]] },
    { name: "encoding", label: "The body is", options: [["string", "text"], ["base64", "base64"]] },
    { name: "headers", label: "Headers", type: "textarea", hint: "a line each: name = value" },
    { name: "properties", label: "Properties", type: "textarea", hint: `a line each, such as ${PROPERTIES.slice(0, 3).join(", ")}` },
    { name: "payload", label: "Body", type: "textarea", wide: true },
  ]} />`;
}
