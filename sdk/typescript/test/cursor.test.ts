// A cursor and what happens beside it: a set while it loads, and another reader.
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { LogChangedError, NothingAppendedError } from "../src/index.js";
import { platforms, rejection } from "./platforms.js";
import { realServer, skipped } from "./server.js";

for (const platform of platforms) {
  describe(`cursor: ${platform.name}`, { skip: skipped }, () => {
    // Goal: whatever is set while commit runs is stored by it or by the next one.
    test("a set during the first commit is not lost", async (t) => {
      const server = await realServer(t, "--create-on-produce", "*");
      const client = platform.client(t, server.address);
      await client.produce("a", { log: "o" });
      for (let turns = 0; turns < 12; turns++) {
        const cursor = client.cursor("o", `c${turns}`);
        cursor.set(1);
        const first = cursor.commit();
        for (let i = 0; i < turns; i++) await new Promise((resolve) => setImmediate(resolve));
        cursor.set(2);
        await first;
        await cursor.commit();
        assert.equal((await client.cursor("o", `c${turns}`).get()).offset, 2n, `turn ${turns}`);
      }
    });

    // Goal: an offset of one log is not stored for another that took its name meanwhile.
    test("a first place belongs to the log that was there when it was asked for", async (t) => {
      const server = await realServer(t, "--create-on-produce", "*");
      const client = platform.client(t, server.address);
      await client.produce("a", { log: "o" });
      const { id } = await client.describeLog("o");
      const cursor = client.cursor("o", "f");
      assert.equal((await cursor.get()).logId, "");
      const other = platform.client(t, server.address);
      await other.deleteLog("o");
      await other.createLog("o");
      cursor.set(1);
      await cursor.commit();
      const place = await client.cursor("o", "f").get();
      assert.equal(place.logId, id);
      const read = client.records({ log: "o", ...place.start });
      await rejection(read.next(), LogChangedError);
    });

    // Goal: a cursor may be there before its log.
    test("a place of a log that comes later", async (t) => {
      const server = await realServer(t, "--create-on-produce", "*");
      const client = platform.client(t, server.address);
      const cursor = client.cursor("later", "f");
      assert.equal((await cursor.get()).logId, "");
      await client.produce("a", { log: "later" });
      cursor.set(1);
      await cursor.commit();
      const place = await client.cursor("later", "f").get();
      assert.equal(place.logId, (await client.describeLog("later")).id);
    });

    // Goal: who was told that another reader moved the cursor does not move it back by
    // asking again, but only after he looked at where it is.
    test("a commit that lost stays an error until the caller decides", async (t) => {
      const server = await realServer(t, "--create-on-produce", "*");
      const client = platform.client(t, server.address);
      await client.produce("a", { log: "o" });
      const [a, b] = [client.cursor("o", "m"), client.cursor("o", "m")];
      await a.get();
      await b.get();
      b.set(5);
      await b.commit();
      for (const offset of [2, 2, 3]) {
        a.set(offset);
        const e = await rejection(a.commit(), NothingAppendedError);
        assert.equal(e.reason, "OFFSET_MISMATCH");
        assert.match(e.message, /somebody else has moved it/);
      }
      assert.equal((await a.get()).offset, 5n);
      a.set(6);
      await a.commit();
      assert.equal((await client.cursor("o", "m").get()).offset, 6n);
      b.set(1);
      await rejection(b.commit(), NothingAppendedError);
      await b.restart();
      await b.commit();
      assert.equal((await client.cursor("o", "m").get()).offset, 0n);
    });
  });
}
