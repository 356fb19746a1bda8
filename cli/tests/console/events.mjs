// What is on the stack when the browser looks: a saga that fails, a poison record, a key that is stuck, a
// timer that is pending, and events that mean harm.

import { randomUUID } from "node:crypto";
import kafkajs from "kafkajs";
import { SchemaRegistry, SchemaType } from "@kafkajs/confluent-schema-registry";
import { until } from "./bench.mjs";

// Other producers warn of the partitioner; this one is Java's.
process.env.KAFKAJS_NO_PARTITIONER_WARNING = "1";

export const SCRIPT = "<script>window.harmed = true</script><img src=x onerror=\"window.harmed = true\">";
/** What gives somebody a right, in the form that it has. */
export const RIGHTS = {
  proof: `v1.fe812c12f3ab4ce6.1763773200000000.${"s".repeat(86)}`,
  reply_key: `inv_1dqhEx4aQPXV7sn6BMfgGJwsh0ofK4uLZL.5000.${"0a".repeat(16)}`,
};
/** Almost all that a record may have. */
export const LONG = `long ${"x".repeat(900_000)}`;

export class Events {
  static async start(endpoints) {
    const kafka = new kafkajs.Kafka({ clientId: "billing-export-7", brokers: endpoints.kafka.split(","), logLevel: kafkajs.logLevel.ERROR });
    const producer = kafka.producer({ createPartitioner: kafkajs.Partitioners.DefaultPartitioner });
    await producer.connect();
    const registry = new SchemaRegistry({ host: endpoints.schema_registry });
    const tag = randomUUID().slice(0, 8);
    return Object.assign(new Events(), { endpoints, kafka, producer, registry, tag });
  }

  async stop() {
    await this.producer.disconnect();
  }

  async send(topic, key, value, headers) {
    const [written] = await this.producer.send({ topic, messages: [{ key, value, headers }] });
    return { topic, partition: written.partition, offset: Number(written.baseOffset) };
  }

  async ask(path, body) {
    const response = await fetch(`${this.endpoints.gateway}${path}`, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) });
    return { status: response.status, body: await response.json() };
  }

  trip(card) {
    return {
      flight: { flight_id: "12345", passenger_name: "Ada" },
      car: { pickup_location: "SFO", rental_date: "2026-12-16" },
      payment: { card_number: card, amount_cents: 10_000 },
    };
  }

  /** trip-17 is rejected, since its card is declined. */
  async rejectedTrip(name = "trip-17") {
    const key = `${name}-${this.tag}`;
    const answer = await this.ask(`/trips/${key}`, this.trip("4111111111111111"));
    return { key, answer };
  }

  /** A customer of the batch lane, whose state lies in a topic. */
  async meteredCustomer() {
    const key = `customer-${this.tag}`;
    const answer = await this.ask(`/usage/${key}`, { resource: "api-calls", units: 3, record_id: "record1" });
    if (answer.status !== 200) throw new Error(`the usage is not recorded: ${JSON.stringify(answer)}`);
    return { key };
  }

  /** A record that no handler can take; who produced it is told by its headers alone. */
  async poison(note = "") {
    const key = `poison-${this.tag}${note}`;
    const at = await this.send("trip-bookings", key, Buffer.from(`{"flight": "12345"${note}}`), { producer: "billing-export-7", host: "batch-3.example" });
    return { key, id: `${at.topic}/${at.partition}/${at.offset}`, ...at };
  }

  /** An object whose state somebody has spoiled: its events are tried again for ever. */
  async stuckKey() {
    const key = `stuck-${this.tag}`;
    const spoiled = await fetch(`${this.endpoints.restate_admin}/services/Flights/state`, {
      method: "POST", headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ object_key: key, new_state: { state: [...Buffer.from("{ spoiled")] } }),
    });
    if (!spoiled.ok) throw new Error(`the state cannot be spoiled: ${spoiled.status} ${await spoiled.text()}`);
    const id = await this.registry.getLatestSchemaId("flights-millstream.flights.CancelFlight");
    await this.send("flights", key, await this.registry.encode(id, { meta: this.meta(`${key}-first`) }));
    await this.send("flights", key, await this.registry.encode(id, { meta: this.meta(`${key}-second`) }));
    return { key };
  }

  meta(request, more = {}) {
    const fields = ["causation_id", "original_id", "reply_to", "reply_key", "idempotency_key", "principal", "proof", "seq", "epoch", "not_before", "expires_at", "traceparent", "tracestate"];
    const none = Object.fromEntries(fields.map((field) => [field, null]));
    return { ...none, id: randomUUID(), source: "console-test", time: Date.now() * 1000, correlation_id: request, ...more };
  }

  async mend(key) {
    await fetch(`${this.endpoints.restate_admin}/services/Flights/state`, {
      method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ object_key: key, new_state: {} }),
    });
  }

  async mail(subject, body) {
    const id = await this.registry.getLatestSchemaId("outbound-emails-value");
    return this.registry.encode(id, { recipient: "ada@example.com", subject, body, meta: null });
  }

  /** A mail that is due in an hour. */
  async pendingTimer() {
    const name = `mail-${this.tag}`;
    const id = await this.registry.getLatestSchemaId("timers-millstream.timers.SetTimer");
    const meta = this.meta(name, { not_before: Date.now() * 1000 + 3_600_000_000 });
    await this.send("timers", name, await this.registry.encode(id, { topic: "outbound-emails", key: name, value: await this.mail("Later", "in an hour"), meta }));
    return { name };
  }

  /** A mail, a timer for it, and a command that becomes a dead letter, each with what gives somebody a right. */
  async entitled() {
    const key = `entitled-${this.tag}`;
    const meta = (more) => this.meta(key, { principal: "ada", ...RIGHTS, ...more });
    const mails = await this.registry.getLatestSchemaId("outbound-emails-value");
    const encoded = (more) => this.registry.encode(mails, { recipient: "ada@example.com", subject: "Entitled", body: "by ada", meta: meta(more) });
    const mail = await this.send("outbound-emails", key, await encoded());
    // A timer takes no event that names somebody and does not prove it.
    const value = await encoded({ principal: null });
    const set = await this.registry.getLatestSchemaId("timers-millstream.timers.SetTimer");
    const due = meta({ not_before: Date.now() * 1000 + 3_600_000_000 });
    const timer = await this.send("timers", key, await this.registry.encode(set, { topic: "outbound-emails", key, value, meta: due }));
    const cancel = await this.registry.getLatestSchemaId("flights-millstream.flights.CancelFlight");
    // Its answer would have the key that it asks for.
    const letter = await this.send("flights", null, await this.registry.encode(cancel, { meta: meta({ reply_key: null }) }));
    return { key, mail, timer, letter };
  }

  /** Events that mean harm, on a topic that nobody handles; by what is wrong with them. */
  async hostile() {
    const topic = "outbound-emails";
    const key = (name) => `hostile-${name}-${this.tag}`;
    const { id } = await this.registry.register({ type: SchemaType.AVRO, schema: JSON.stringify({
      type: "record", name: "Measured", namespace: "foreign", fields: [{ name: "value", type: "double" }],
    }) }, { subject: `foreign-measured-${this.tag}` });
    const scripted = await this.send(topic, `${SCRIPT}${key("script")}`, await this.mail(SCRIPT, SCRIPT), { [`<b>${this.tag}`]: SCRIPT });
    const long = await this.send(topic, key("long"), await this.mail("long", LONG));
    const broken = await this.send(topic, Buffer.from([0xff, 0xfe, ...Buffer.from(key("broken"))]), Buffer.from([0, 1, 2, 0xff, 0xfe, 0xc3, 0x28]));
    const nan = await this.send(topic, key("nan"), await this.registry.encode(id, { value: NaN }));
    const tombstone = await this.send(topic, key("tombstone"), null);
    return { scripted, long, broken, nan, tombstone, key };
  }

  /** Offsets at the end of a topic, all partitions together. */
  async count(topic) {
    const admin = this.kafka.admin();
    await admin.connect();
    const offsets = await admin.fetchTopicOffsets(topic);
    await admin.disconnect();
    return offsets.reduce((sum, it) => sum + Number(it.high), 0);
  }

  /** Waits until a poison record is kept as a dead letter, which the console's API tells. */
  async kept(url, id) {
    return until(`the dead letter ${id}`, async () => (await fetch(`${url}/api/letters/${id}`)).ok);
  }
}
