// Where requests cannot be streamed although the client speaks HTTP/2, as behind a proxy
// that speaks HTTP/1.1 to the server, the same calls go without a stream.
import { Code } from "@connectrpc/connect";
import { connectNodeAdapter } from "@connectrpc/connect-node";
import assert from "node:assert/strict";
import * as http2 from "node:http2";
import { test } from "node:test";
import { NothingAppendedError, ProglogError } from "../src/index.js";
import { Fake, listen, serverError, startFake, stopping } from "./fake.js";
import { nodePlatform, rejection } from "./platforms.js";

test("writes go without a stream where the server refuses one", async (t) => {
  const fake = new Fake();
  const handler = connectNodeAdapter({ routes: fake.routes, shutdownSignal: stopping(t) });
  let refused = 0;
  const server = http2.createServer((req, res) => {
    if (!req.url.endsWith("/ProduceStream")) return handler(req, res);
    refused++;
    res.statusCode = 505;
    res.end();
  });
  await listen(t, server, fake);
  const shared = nodePlatform.client(t, fake.address);
  const acks = await Promise.all([shared.produce("a"), shared.produce("b")]);
  assert.deepEqual(acks.map((a) => a.offset).sort(), [0n, 1n]);
  const producer = nodePlatform.client(t, fake.address).producer({ maxBatchRecords: 1 });
  for (const value of ["c", "d", "e"]) await producer.send(value);
  await producer.close();
  assert.equal(fake.records.length, 5);
  assert.equal(refused, 2);
});

test("a cursor says which right is missing", async (t) => {
  const fake = await startFake(t);
  const client = nodePlatform.client(t, fake.address);
  fake.hooks.getLog = () => {
    throw serverError(Code.PermissionDenied, 25);
  };
  const e = await rejection(client.cursor("orders", "billing").get(), ProglogError);
  assert.equal(e.code, "permission_denied");
  assert.match(e.message, /the right to describe the log "orders\.cursor\/billing" is missing/);

  delete fake.hooks.getLog;
  fake.hooks.produce = async () => {
    throw serverError(Code.PermissionDenied, 25, { nothingAppended: true });
  };
  const cursor = client.cursor("orders", "billing");
  await cursor.get();
  cursor.set(1);
  const refused = await rejection(cursor.commit(), NothingAppendedError);
  assert.match(refused.message, /the right to produce to the log/);
});

test("a cursor's commit whose answer was lost is found in its log", async (t) => {
  const fake = await startFake(t);
  let tries = 0;
  fake.hooks.produce = async (request) => {
    if (tries++ > 0) throw serverError(Code.Aborted, 12, { nothingAppended: true, nextOffset: 1n });
    fake.append(request);
    fake.cut();
    return new Promise(() => {});
  };
  const cursor = nodePlatform.client(t, fake.address).cursor("orders", "billing");
  cursor.set(7);
  await cursor.commit();
  assert.equal(tries, 2);
  assert.equal(fake.records.length, 1);
});
