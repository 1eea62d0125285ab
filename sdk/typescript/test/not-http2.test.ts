// A peer that does not speak HTTP/2: every call fails, and the process lives on. What nobody
// listens to would end it, and with it this test.
import assert from "node:assert/strict";
import * as http from "node:http";
import * as net from "node:net";
import { test } from "node:test";
import { ProglogError } from "../src/index.js";
import { Fake, listen } from "./fake.js";
import { grpcPlatform, nodePlatform, rejection } from "./platforms.js";

const bad = "HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n";
const peers: { [name: string]: () => net.Server } = {
  "that answers by HTTP/1.1": () => http.createServer((_, res) => res.end("hi")),
  "that refuses at once": () => net.createServer((c) => c.end(bad)),
  "that refuses what comes": () => net.createServer((c) => c.once("data", () => c.end(bad))),
  "that resets": () => net.createServer((c) => c.once("data", () => c.resetAndDestroy())),
  "that resets at once": () => net.createServer((c) => c.resetAndDestroy()),
  "that closes": () => net.createServer((c) => c.end()),
  "with a banner": () => net.createServer((c) => c.write("220 mail ready\r\n")),
};

for (const platform of [nodePlatform, grpcPlatform]) {
  for (const [what, peer] of Object.entries(peers)) {
    test(`a peer ${what}: ${platform.name}`, async (t) => {
      const server = peer();
      server.on("connection", (socket) => socket.on("error", () => {}));
      const at = new Fake();
      await listen(t, server, at);
      const client = platform.client(t, at.address, { timeoutMs: 2_000 });
      for (let round = 0; round < 10; round++) {
        const signal = AbortSignal.timeout(round === 0 ? 500 : 20);
        const ends = [
          client.produce("a", { signal }),
          client.produce("a", { alone: true, signal }),
          client.consume(0, { signal }),
          client.describeLog("", { signal }),
          client.follow({ signal }).next(),
        ].map((call) => rejection(call, ProglogError));
        assert.equal((await Promise.all(ends)).length, 5);
      }
    });
  }
}
