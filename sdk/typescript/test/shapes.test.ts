// Options of a wrong shape, and bytes of another realm.
import assert from "node:assert/strict";
import { test } from "node:test";
import * as vm from "node:vm";
import { Client, ProglogError } from "../src/index.js";
import { Client as Fetch } from "../src/browser.js";
import { platforms, rejection, text } from "./platforms.js";

for (const platform of platforms) {
  // Goal: what is no object, or has a name that nothing goes by, is not passed over in silence.
  test(`options of a wrong shape are refused: ${platform.name}`, async (t) => {
    const fake = await platform.fake(t);
    const wrong: unknown[] = [5, "x", { retry: null }, { retry: 5 }, { limits: null }];
    for (const options of [...wrong, { limits: { bogus: 1 } }]) {
      const make = (): unknown =>
        new (platform.name === "fetch" ? Fetch : Client)(fake.address, options as object);
      assert.throws(make, /^(Type|Range)Error: proglog: /, JSON.stringify(options));
    }
    assert.throws(() => new Client(fake.address, null as unknown as object), /proglog: options/);
    const client = platform.client(t, fake.address);
    const alone = "no" as unknown as boolean;
    const e = await rejection(client.produce("a", { alone }), ProglogError);
    assert.equal(e.code, "invalid_argument");
    const future = await client.producer().send("a");
    const none = null as unknown as object;
    assert.equal((await rejection(future.wait(none), ProglogError)).code, "invalid_argument");
    await future.wait();
  });

  // Goal: bytes are bytes, also those of a frame or of a test runner's context.
  test(`bytes of another realm: ${platform.name}`, async (t) => {
    const fake = await platform.fake(t);
    const value = vm.runInNewContext("new Uint8Array([104, 105])") as Uint8Array;
    const client = platform.client(t, fake.address);
    await client.produce(value);
    await client.produce({ value, headers: [{ name: "n", value }] }, { alone: true });
    assert.deepEqual(
      fake.records.map((r) => text(r.value)),
      ["hi", "hi"],
    );
  });
}
