// A producer whose log is deleted while it has nothing to send, and made again.
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { NothingAppendedError, ProglogError } from "../src/index.js";
import { platforms, rejection } from "./platforms.js";
import { realServer, skipped } from "./server.js";

for (const platform of platforms) {
  describe(`a log that is gone: ${platform.name}`, { skip: skipped }, () => {
    // Goal: that there is no log would be wrong, and to go on in the other one would leave its
    // records where those before are not. Single calls go on with the log that is there.
    for (const restarted of [false, true]) {
      const how = restarted ? ", while the server was away" : "";
      test(`a log that was replaced under a producer${how}`, async (t) => {
        const server = await realServer(t);
        const client = platform.client(t, server.address);
        const other = platform.client(t, server.address);
        await other.createLog("a");
        const producer = client.producer({ log: "a" });
        await (await producer.send("x")).wait();
        await client.produce("x", { log: "a" });
        await other.deleteLog("a");
        await other.createLog("a");
        if (restarted) {
          await server.kill();
          await server.start();
        }
        const sent = producer.send("y").then((future) => future.wait());
        const e = await rejection(sent, ProglogError);
        assert.equal(e.reason, "LOG_CHANGED");
        // What was sent into the lost connection is unknown.
        assert.ok(restarted || e instanceof NothingAppendedError);
        await client.produce("z", { log: "a" });
      });
    }

    test("a log that was deleted under a producer", async (t) => {
      const server = await realServer(t);
      const client = platform.client(t, server.address);
      await client.createLog("a");
      const producer = client.producer({ log: "a" });
      await (await producer.send("x")).wait();
      await client.deleteLog("a");
      const sent = producer.send("y").then((future) => future.wait());
      const e = await rejection(sent, NothingAppendedError);
      assert.equal(e.reason, "LOG_NOT_FOUND");
    });
  });
}
