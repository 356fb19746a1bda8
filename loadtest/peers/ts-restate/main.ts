// The keyed count in Restate's TypeScript SDK; Node 22 runs it as it is.

import { readFileSync } from "node:fs";
import * as restate from "@restatedev/restate-sdk";
import avro from "avsc";
import { Kafka, Partitioners, logLevel, type Message } from "kafkajs";

const setting = (name: string): string => {
  const value = process.env[name];
  if (value === undefined) throw new Error(`${name} is not set`);
  return value;
};

const registry = setting("PEER_REGISTRY");
const results = setting("PEER_RESULTS");

// Confluent's wire format: a zero byte, the schema's id in four bytes, the Avro body.
const writers = new Map<number, Promise<avro.Type>>();

const writer = (id: number): Promise<avro.Type> => {
  let type = writers.get(id);
  if (type === undefined) {
    type = fetch(`${registry}/schemas/ids/${id}`)
      .then((answer) => answer.json())
      .then((answer) => avro.Type.forSchema(JSON.parse(answer.schema)));
    writers.set(id, type);
  }
  return type;
};

const register = async (schema: string): Promise<number> => {
  const answer = await fetch(`${registry}/subjects/${results}-value/versions`, {
    method: "POST",
    headers: { "content-type": "application/vnd.schemaregistry.v1+json" },
    body: JSON.stringify({ schema }),
  });
  if (!answer.ok) throw new Error(`the registry: ${answer.status} ${await answer.text()}`);
  return (await answer.json()).id;
};

const countedSchema = readFileSync(setting("PEER_RESULT_SCHEMA"), "utf8");
const counted = avro.Type.forSchema(JSON.parse(countedSchema));
const head = Buffer.alloc(5);
head.writeUInt32BE(await register(countedSchema), 1);

const producer = new Kafka({
  clientId: "peer-ts-restate",
  brokers: [setting("PEER_KAFKA")],
  logLevel: logLevel.WARN,
}).producer({
  idempotent: true,
  maxInFlightRequests: 1,
  // As Java's: murmur2.
  createPartitioner: Partitioners.DefaultPartitioner,
});
await producer.connect();

// kafkajs makes a request of each call of `send`. What comes while one is under way goes together
// in the next.
type Waiting = { message: Message; resolve: () => void; reject: (error: unknown) => void };
let waiting: Waiting[] = [];
let sending = false;

const publish = (message: Message): Promise<void> =>
  new Promise((resolve, reject) => {
    waiting.push({ message, resolve, reject });
    if (!sending) void send();
  });

const send = async () => {
  sending = true;
  while (waiting.length > 0) {
    const batch = waiting;
    waiting = [];
    try {
      const messages = batch.map((each) => each.message);
      await producer.send({ topic: results, acks: -1, messages });
      for (const each of batch) each.resolve();
    } catch (error) {
      for (const each of batch) each.reject(error);
    }
  }
  sending = false;
};

const counter = restate.object({
  name: "TsCounter",
  handlers: {
    onEvent: restate.handlers.object.exclusive(
      { input: restate.serde.binary },
      async (ctx: restate.ObjectContext, record: Uint8Array): Promise<void> => {
        const bytes = Buffer.from(record.buffer, record.byteOffset, record.byteLength);
        const type = await writer(bytes.readUInt32BE(1));
        type.fromBuffer(bytes.subarray(5));
        const count = ((await ctx.get<number>("count")) ?? 0) + 1;
        const value = Buffer.concat([head, counted.toBuffer({ count })]);
        await ctx.run("publish", () => publish({ key: ctx.key, value }));
        ctx.set("count", count);
      },
    ),
  },
});

// Whoever started this is gone.
process.stdin.resume().on("end", () => process.exit(0));

const identityKeys = process.env.PEER_IDENTITY_KEY ? [process.env.PEER_IDENTITY_KEY] : undefined;
await restate.serve({ services: [counter], port: Number(setting("PEER_PORT")), identityKeys });
