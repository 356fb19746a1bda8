// A reader that knows nothing of Millstream: kafkajs on `accounts-results-once`, beside once.py, which
// makes deposits and kills the handlers meanwhile. Each account's results say 1, 2, 3, ..; the last one
// closes it.
//
// Prints one JSON line with what it counted; exit status 0 only without duplicates and without anything
// missing.
//
//     npm install
//     node once.mjs --bootstrap localhost:9092 --registry http://localhost:8081 --run any \
//         --accounts 10 --deposits 400

import { randomUUID } from "node:crypto";
import { parseArgs } from "node:util";
import kafkajs from "kafkajs";
import { SchemaRegistry } from "@kafkajs/confluent-schema-registry";

const { values: options } = parseArgs({
  options: {
    bootstrap: { type: "string" },
    registry: { type: "string" },
    run: { type: "string" },
    accounts: { type: "string", default: "10" },
    deposits: { type: "string", default: "400" },
    timeout: { type: "string", default: "90" },
  },
});
for (const name of ["bootstrap", "registry", "run"]) {
  if (!options[name]) throw new Error(`--${name} is missing`);
}
const topic = "accounts-results-once";
const last = Math.floor(options.deposits / options.accounts) + 1;
const seen = new Map();
for (let number = 0; number < options.accounts; number += 1) seen.set(`${options.run}-${number}`, []);

const registry = new SchemaRegistry({ host: options.registry });
const kafka = new kafkajs.Kafka({
  clientId: "once",
  brokers: options.bootstrap.split(","),
  logLevel: kafkajs.logLevel.ERROR,
});
// Of committed records, as is the default.
const consumer = kafka.consumer({ groupId: `once-${randomUUID()}` });
await consumer.connect();
// The accounts are new, so it does not matter how much is read before.
await consumer.subscribe({ topic, fromBeginning: true });
let done;
const complete = new Promise((resolve) => (done = resolve));
const timer = setTimeout(done, Number(options.timeout) * 1000);
await consumer.run({
  autoCommit: false,
  eachMessage: async ({ message }) => {
    const balances = seen.get(message.key?.toString());
    if (!balances) return;
    balances.push((await registry.decode(message.value)).balance_cents);
    if ([...seen.values()].every((it) => it.includes(last))) done();
  },
});
await complete;
clearTimeout(timer);
await consumer.disconnect();

let [results, duplicates, missing] = [0, 0, 0];
for (const balances of seen.values()) {
  const distinct = new Set(balances);
  results += balances.length;
  duplicates += balances.length - distinct.size;
  for (let balance = 1; balance <= last; balance += 1) missing += distinct.has(balance) ? 0 : 1;
}
console.log(JSON.stringify({ client: "kafkajs", topic, results, duplicates, missing }));
if (duplicates || missing) {
  console.error("not each result once");
  process.exit(1);
}
