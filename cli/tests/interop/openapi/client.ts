// A client in TypeScript: types by openapi-typescript, calls by openapi-fetch. What must not compile is
// marked, so the compiler checks it. Exit status 0 only when all is as expected.
//
//     node client.js http://localhost:8088

import createClient from "openapi-fetch";
import type { components, paths } from "./api.js";

declare const process: { argv: string[] };
const url = process.argv[2];
if (!url) throw new Error("the gateway's address is missing");
const client = createClient<paths>({ baseUrl: url });
const unique = `typescript-${crypto.randomUUID()}`;

function expect<T>(what: string, found: T, expected: T) {
  if (JSON.stringify(found) !== JSON.stringify(expected)) {
    throw new Error(`${what}: ${JSON.stringify(found)}, not ${JSON.stringify(expected)}`);
  }
}

type Sent = components["schemas"]["db-users.Event"];

async function send(body: Sent) {
  const { data, error } = await client.POST("/v1/topics/db-users/{key}", {
    params: { path: { key: unique }, header: { Prefer: "wait=30", "Idempotency-Key": JSON.stringify(body) } },
    body,
  });
  if (error) throw new Error(`${error.code}: ${error.detail}`);
  // 202 or the result.
  if ("status" in data) throw new Error(`no result yet: ${data.request}`);
  return data;
}

const user = { name: "Ada", address: "Bridge 5", credits: 3 };
const stored = await send({ type: "InsertUser", data: user });
expect("the type of what is stored", stored.type, "millstream.db_users.UserStored");
await send({ type: "millstream.db_users.UpdateUserName", data: { new_name: "Grace" } });
const read = await send({ type: "ReadUser" });
// By its type it is known what else is in it.
if (read.type !== "millstream.db_users.UserRead") throw new Error(`it is ${read.type}`);
expect("the user", [read.data.name, read.data.credits], ["Grace", 3]);

// @ts-expect-error: a member is missing.
const empty: Sent = { type: "UpdateUserName", data: {} };
// @ts-expect-error: a member is misspelt.
const misspelt: Sent = { type: "UpdateUserName", data: { new_name: "Ada", nwe_name: "Ada" } };
// @ts-expect-error: there is no such event.
const other: Sent = { type: "DeleteUser", data: {} };
// @ts-expect-error: an amount is missing.
const deposit: paths["/accounts/{account}/deposits"]["post"]["requestBody"]["content"]["application/json"] = {};
void [empty, misspelt, other];

// What the compiler refuses the gateway refuses as well.
const refused = await client.POST("/accounts/{account}/deposits", {
  params: { path: { account: unique } },
  body: deposit,
});
expect("the status of the refusal", refused.response.status, 400);
expect("what is wrong", refused.error?.errors?.map((it) => `${it.field} ${it.detail}`), ["amount_cents is missing"]);

const pending = await client.POST("/reserve/{product}/{reservation}", {
  params: { path: { product: unique, reservation: "r 1/2" }, header: { Prefer: "respond-async" } },
});
expect("the status at once", pending.response.status, 202);
if (!pending.data || !("status" in pending.data)) throw new Error("there is no id to ask for");
expect("the key", pending.data.event.key, unique);
const id = pending.data.request;
const asked = await client.GET("/v1/requests/{id}", { params: { path: { id }, query: { wait: 30 } } });
if (!asked.data || "status" in asked.data) throw new Error("there is no result");
if (asked.data.type !== "millstream.product_reservations.ProductReserved") throw new Error(asked.data.type);
const { reservation_id, reserved } = asked.data.data;
expect("the reservation", [reservation_id, reserved], ["r 1/2", true]);
expect("the position of the product's first result", asked.data.meta.seq, 1);

const ticket = await client.POST("/v1/requests/{id}/ticket", { params: { path: { id } } });
if (!ticket.data) throw new Error("there is no ticket");
const stream = await (await fetch(new URL(ticket.data.events, url))).text();
expect("the events of the stream", stream.match(/^event: .*$/gm), ["event: accepted", "event: result"]);
console.log("TypeScript: all as expected");
