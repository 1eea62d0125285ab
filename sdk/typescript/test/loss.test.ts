// The end of a stream of which the server said nothing: a response that is complete for
// HTTP, but has no last message, is a lost connection and not the end of a log.
import { toBinary } from "@bufbuild/protobuf";
import { connectNodeAdapter } from "@connectrpc/connect-node";
import assert from "node:assert/strict";
import * as http from "node:http";
import * as http2 from "node:http2";
import * as net from "node:net";
import { test } from "node:test";
import { create } from "@bufbuild/protobuf";
import { ConsumeResponseSchema } from "../src/gen/log/v1/log_pb.js";
import { Fake, listen, startFake, stopping } from "./fake.js";
import { fetchPlatform, nodePlatform, text } from "./platforms.js";

/** A message of a stream, or the first bytes of one. */
function envelope(fake: Fake, offset: number): Buffer {
  const message = create(ConsumeResponseSchema, { records: [fake.records[offset]!] });
  const body = toBinary(ConsumeResponseSchema, message);
  const head = Buffer.alloc(5);
  head.writeUInt32BE(body.length, 1);
  return Buffer.concat([head, body]);
}

for (const platform of [nodePlatform, fetchPlatform]) {
  test(`a stream without its last message is resumed: ${platform.name}`, async (t) => {
    const fake = new Fake();
    fake.add("0", "1", "2");
    const handler = connectNodeAdapter({ routes: fake.routes, shutdownSignal: stopping(t) });
    // In turn: one message and an end; half a message and an end; an end at once.
    const ends = [
      () => envelope(fake, 0),
      () => envelope(fake, 1).subarray(0, 7),
      () => Buffer.alloc(0),
    ];
    const answer = (req: http.IncomingMessage, res: http.ServerResponse): void => {
      const end = req.url?.endsWith("/ConsumeStream") === true ? ends.shift() : undefined;
      if (end === undefined) return handler(req, res);
      res.setHeader("Content-Type", "application/connect+proto");
      res.end(end());
    };
    const server = platform.streams
      ? http2.createServer(answer as unknown as (...args: unknown[]) => void)
      : http.createServer(answer);
    await listen(t, server, fake);
    const values = [];
    for await (const record of platform.client(t, fake.address).records()) {
      values.push(text(record.value));
    }
    assert.deepEqual(values, ["0", "1", "2"]);
    assert.equal(ends.length, 0);
  });
}

test("a follower leaves a connection that has gone silent for another one", async (t) => {
  const fake = await startFake(t);
  fake.add("0");
  const { port } = new URL(fake.address);
  // Carries everything, until it is told to hold what goes over the connections of that time.
  const sockets: net.Socket[] = [];
  const proxy = net.createServer((near) => {
    const far = net.connect(Number(port), "127.0.0.1");
    sockets.push(near, far);
    for (const socket of [near, far]) socket.on("error", () => {});
    near.on("data", (data) => far.write(data));
    far.on("data", (data) => near.write(data));
  });
  const carrying = new Fake();
  await listen(t, proxy, carrying);
  t.after(() => sockets.forEach((socket) => socket.destroy()));
  const client = nodePlatform.client(t, carrying.address);
  const started = performance.now();
  const read = client.follow({ heartbeatMs: 100 });
  await read.next();
  for (const socket of [...sockets]) socket.pause();
  const waiting = read.next();
  fake.add("1");
  assert.equal((await waiting).value?.offset, 1n);
  assert.ok(performance.now() - started < 14_000, "it did not wait for a ping to fail");
  await read.return();
});
