// A client that knows nothing of Millstream: kafkajs with @kafkajs/confluent-schema-registry.
//
// Registers a schema without the field `meta`, sends ReserveProduct commands with it and with the
// registered one, and reads the results. Prints one JSON line per record that it sent or saw; exit
// status 0 only when all is as expected, what is not is said on stderr.
//
//     npm install
//     node kafkajs.mjs --bootstrap localhost:9092 --registry http://localhost:8081 \
//         --topic product-reservations

import { randomUUID } from "node:crypto";
import { parseArgs } from "node:util";
import kafkajs from "kafkajs";
import { COMPATIBILITY, SchemaRegistry, SchemaType } from "@kafkajs/confluent-schema-registry";

const { values: options } = parseArgs({
  options: {
    bootstrap: { type: "string" },
    registry: { type: "string" },
    topic: { type: "string" },
    results: { type: "string" },
    timeout: { type: "string", default: "30" },
  },
});
for (const name of ["bootstrap", "registry", "topic"]) {
  if (!options[name]) throw new Error(`--${name} is missing`);
}
const { topic } = options;
const results = options.results ?? `${topic}-results`;
const subject = `${topic}-value`;
const say = (line) => console.log(JSON.stringify(line));

const registry = new SchemaRegistry({ host: options.registry });
const kafka = new kafkajs.Kafka({
  clientId: "interop",
  brokers: options.bootstrap.split(","),
  logLevel: kafkajs.logLevel.ERROR,
});

// The partitions of the results, from their present end on: no waiting for a group to settle.
const admin = kafka.admin();
await admin.connect();
const ends = new Map((await admin.fetchTopicOffsets(results)).map((p) => [p.partition, BigInt(p.high)]));
await admin.disconnect();

const own = JSON.stringify({
  type: "record",
  name: "ReserveProduct",
  namespace: "millstream.product_reservations",
  fields: [{ name: "reservation_id", type: "string" }],
});
// The first version is the declared one, which has `meta`; the newest may be the one below.
const declared = await registry.getRegistryId(subject, 1);
// This client refuses to register where a subject has another level than it was told.
const { id } = await registry.register(
  { type: SchemaType.AVRO, schema: own },
  { subject, compatibility: COMPATIBILITY.FULL_TRANSITIVE },
);

const product = `interop-${randomUUID()}`;
const expected = [
  [`${product}-1`, true],
  [`${product}-2`, false],
  [`${product}-1`, true],
];
const schemas = [id, declared, id];
const producer = kafka.producer();
await producer.connect();
for (const [index, [reservation_id]] of expected.entries()) {
  const value = schemas[index] === id ? { reservation_id } : { reservation_id, meta: null };
  await producer.send({
    topic,
    messages: [{ key: product, value: await registry.encode(schemas[index], value) }],
  });
  say({ sent: topic, key: product, schema_id: schemas[index], value });
}
await producer.disconnect();

const found = [];
const consumer = kafka.consumer({ groupId: `interop-${randomUUID()}` });
await consumer.connect();
await consumer.subscribe({ topic: results, fromBeginning: true });
let done;
const complete = new Promise((resolve) => (done = resolve));
const timer = setTimeout(done, Number(options.timeout) * 1000);
await consumer.run({
  autoCommit: false,
  eachMessage: async ({ partition, message }) => {
    if (BigInt(message.offset) < (ends.get(partition) ?? 0n)) return;
    if (message.key?.toString() !== product) return;
    const value = await registry.decode(message.value);
    say({ saw: results, key: product, offset: message.offset, value });
    found.push([value.reservation_id, value.reserved]);
    if (found.length === expected.length) done();
  },
});
for (const [partition, offset] of ends) consumer.seek({ topic: results, partition, offset: String(offset) });
await complete;
clearTimeout(timer);
await consumer.disconnect();

if (JSON.stringify(found) !== JSON.stringify(expected)) {
  console.error(`expected the results ${JSON.stringify(expected)}, saw ${JSON.stringify(found)}`);
  process.exit(1);
}
