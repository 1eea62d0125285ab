// What every call of a client carries, and what a client refuses to be made of.
import { Code } from "@connectrpc/connect";
import { connectNodeAdapter } from "@connectrpc/connect-node";
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import * as http from "node:http";
import * as http2 from "node:http2";
import { describe, test } from "node:test";
import * as browser from "../src/browser.js";
import {
  type Attempt,
  type AttemptEnd,
  Client,
  cursorLog,
  NothingAppendedError,
  OutcomeUnknownError,
  ProglogError,
  type Trace,
  VERSION,
} from "../src/index.js";
import { Fake, listen, nobody, serverError, startFake, stopping } from "./fake.js";
import { nodePlatform, type Platform, platforms, rejection } from "./platforms.js";

for (const platform of platforms) describe(`client: ${platform.name}`, () => cases(platform));

function cases(platform: Platform): void {
  test("headers, the token and the user agent go with every call", async (t) => {
    const fake = await platform.fake(t);
    let n = 0;
    const client = platform.client(t, fake.address, {
      headers: { "X-Team": "billing" },
      token: async () => `token-${++n}`,
      userAgent: "billing/2.1",
    });
    await client.produce("a", { alone: true });
    await client.produce("b");
    await client.consume(0);
    for await (const _ of client.records()) break;
    assert.equal(fake.headers.length, 4);
    for (const headers of fake.headers) {
      assert.equal(headers.get("X-Team"), "billing");
      assert.match(headers.get("Authorization")!, /^Bearer token-\d+$/);
      assert.equal(headers.get("User-Agent"), `billing/2.1 proglog-typescript/${VERSION}`);
      assert.equal(
        headers.get("Accept-Encoding")?.includes("gzip") ?? false,
        platform.name === "fetch",
      );
      assert.equal(headers.get("Content-Encoding"), null);
    }
    assert.equal(new Set(fake.headers.map((h) => h.get("Authorization"))).size, 4);
  });

  test("a token that cannot be had fails the call before it is sent", async (t) => {
    const fake = await platform.fake(t);
    const cause = new Error("the vault is shut");
    const client = platform.client(t, fake.address, {
      token: () => {
        throw cause;
      },
    });
    const e = await rejection(client.produce("a", { alone: true }), NothingAppendedError);
    assert.equal(e.code, "unauthenticated");
    assert.match(e.message, /the vault is shut/);
    assert.equal((await rejection(client.consume(0), ProglogError)).cause, cause);
    assert.equal(fake.headers.length, 0);
  });

  test("a token that never comes is waited for until the deadline", async (t) => {
    const client = platform.client(t, await nobody(), { token: () => new Promise(() => {}) });
    const e = await rejection(client.consume(0, { timeoutMs: 20 }), ProglogError);
    assert.equal(e.code, "deadline_exceeded");
  });

  test("the trace sees every try, and can add headers", async (t) => {
    const fake = await platform.fake(t);
    const seen: [Attempt, AttemptEnd][] = [];
    const client = platform.client(t, fake.address, {
      trace: (attempt) => {
        attempt.headers.set("traceparent", `00-${attempt.attempt}`);
        return (end) => void seen.push([attempt, end]);
      },
    });
    let failures = 1;
    fake.hooks.produce = async () => {
      if (failures-- > 0) throw serverError(Code.Unavailable, 19, { nothingAppended: true });
      return undefined;
    };
    await client.produce("a", { alone: true, log: "orders" });
    assert.deepEqual(
      seen.map(([a, e]) => [a.method, a.log, a.attempt, e.error?.reason]),
      [
        ["log.v1.Log/Produce", "orders", 1, "DRAINING"],
        ["log.v1.Log/Produce", "orders", 2, undefined],
      ],
    );
    assert.ok(seen.every(([, e]) => e.durationMs >= 0));
    assert.deepEqual(
      fake.headers.map((h) => h.get("traceparent")),
      ["00-1", "00-2"],
    );
    for await (const _ of client.follow()) break;
    await fake.until(() => fake.open === 0, "the stream is closed");
    const [read, end] = seen.at(-1)!;
    assert.equal(read.method, "log.v1.Log/ConsumeStream");
    assert.equal(end.error?.code, "canceled");
  });

  test("a trace that throws harms nothing", async (t) => {
    const fake = await platform.fake(t);
    const wrong = (): never => {
      throw new Error("a bug in the trace");
    };
    const later = async (): Promise<never> => wrong();
    const warnings: string[] = [];
    const onWarning = (w: Error): void =>
      void (w.name === "ProglogWarning" && warnings.push(w.message));
    process.on("warning", onWarning);
    t.after(() => process.off("warning", onWarning));
    t.mock.method(console, "warn", (line: string) => void warnings.push(line));
    const traces = [wrong, () => wrong, later as unknown as Trace, () => later];
    for (const [i, trace] of traces.entries()) {
      const client = platform.client(t, fake.address, { trace });
      await client.produce("a");
      await client.produce("b");
      await new Promise(setImmediate); // warnings come a little later
      assert.equal(fake.records.length, 2 * i + 2);
      assert.equal(warnings.length, i + 1, "one warning for each client");
      assert.match(warnings[i]!, /a bug in the trace/);
    }
  });

  // Goal: a redirect is final, is not followed, and nothing was appended by it.
  test("a redirect is not followed", async (t) => {
    for (const status of [302, 307]) {
      const elsewhere = await platform.fake(t);
      let requests = 0;
      const answer = (_: unknown, response: http.ServerResponse): void => {
        requests++;
        response.writeHead(status, { location: elsewhere.address + "/log.v1.Log/Produce" });
        response.end();
      };
      const server = platform.streams
        ? http2.createServer((q, p) => answer(q, p as unknown as http.ServerResponse))
        : http.createServer(answer);
      const redirecting = new Fake();
      await listen(t, server, redirecting);
      const client = platform.client(t, redirecting.address, { token: "secret" });
      for (const alone of [true, false]) {
        requests = 0;
        const e = await rejection(client.produce("a", { alone }), NothingAppendedError);
        assert.equal(e.code, "unknown");
        assert.equal(e.fromServer, false);
        if (alone) assert.equal(requests, 1);
      }
      await rejection(client.follow().next(), ProglogError);
      assert.equal(elsewhere.headers.length, 0);
    }
  });

  test("every number of an error's detail comes through", async (t) => {
    const fake = await platform.fake(t);
    fake.hooks.consume = () => {
      const numbers = { firstOffset: 1n, nextOffset: 2n, epoch: 3n, sequence: 4n, limit: 5n };
      throw serverError(Code.DataLoss, 22, { ...numbers, incident: "abc" });
    };
    const e = await rejection(platform.client(t, fake.address).consume(0), ProglogError);
    assert.deepEqual([e.code, e.reason, e.incident], ["data_loss", "DATA_DAMAGED", "abc"]);
    assert.deepEqual(
      [e.firstOffset, e.nextOffset, e.epoch, e.sequence, e.limit],
      [1n, 2n, 3n, 4n, 5n],
    );
    assert.equal(e.message, "data_loss (DATA_DAMAGED): the fake says so (incident abc)");
  });

  test("a reason of a newer server comes as its number", async (t) => {
    const fake = await platform.fake(t);
    fake.hooks.consume = () => {
      throw serverError(Code.NotFound, 99 as 1);
    };
    const e = await rejection(platform.client(t, fake.address).consume(0), ProglogError);
    assert.equal(e.reason, "99");
  });

  test("many calls at once leave no listener behind, and cause no warning", async (t) => {
    const fake = await platform.fake(t);
    fake.add("a");
    const warnings: Error[] = [];
    const note = (w: Error): void => void warnings.push(w);
    process.on("warning", note);
    t.after(() => process.off("warning", note));
    const client = platform.client(t, fake.address);
    const { signal } = new AbortController();
    await Promise.all(Array.from({ length: 50 }, () => client.consume(0, { signal })));
    await new Promise((resolve) => setImmediate(resolve));
    assert.deepEqual(warnings, []);
  });
}

test("an answer of HTTP itself is told as such", async (t) => {
  const statuses: [number, string][] = [
    [503, "unavailable"],
    [404, "unimplemented"],
    [302, "unknown"],
  ];
  for (const [status, code] of statuses) {
    const answer = async (): Promise<Response> => new Response("", { status });
    const retry = { attempts: 2, minDelayMs: 1, maxDelayMs: 1 };
    const client = new browser.Client("http://127.0.0.1", { fetch: answer, retry });
    t.after(() => client.close());
    const e = await rejection(client.consume(0), ProglogError);
    assert.equal(e.code, code);
    assert.equal(e.fromServer, false);
    assert.match(e.message, new RegExp(`HTTP ${status}`));
  }
});

// What refuses a caller, a path, a method or a size comes in the place of passing the call on.
// Whoever says anything else may have passed it on.
test("a status of HTTP proves of a single write what came before the log", async (t) => {
  const refusing = [401, 403, 404, 405, 407, 411, 413, 414, 415, 421, 426, 428, 429, 431, 505];
  const others = [400, 402, 406, 408, 409, 410, 412, 416, 417, 418, 422, 425, 451, 499, 500, 503];
  for (const status of [300, 302, ...refusing, ...others]) {
    const answer = async (): Promise<Response> => new Response("", { status });
    const retry = { attempts: 1, minDelayMs: 1, maxDelayMs: 1 };
    const client = new browser.Client("http://127.0.0.1", { fetch: answer, retry });
    t.after(() => client.close());
    const e = await rejection(client.produce("a"), ProglogError);
    const kind = others.includes(status) ? OutcomeUnknownError : NothingAppendedError;
    assert.ok(e instanceof kind, e.message);
  }
});

// What was sent over a stream before its status came may have been passed on.
test("a status of HTTP proves nothing of what a stream had sent", async (t) => {
  for (const status of [401, 413, 302]) {
    const fake = new Fake();
    const handler = connectNodeAdapter({ routes: fake.routes, shutdownSignal: stopping(t) });
    const server = http2.createServer((req, res) => {
      if (!req.url.endsWith("/ProduceStream")) return handler(req, res);
      req.once("data", () => res.writeHead(status).end());
    });
    await listen(t, server, fake);
    const producer = nodePlatform.client(t, fake.address).producer();
    const sent = await producer.send("a");
    const e = await rejection(sent.wait(), OutcomeUnknownError);
    assert.match(e.message, new RegExp(`HTTP ${status}`));
    await rejection(producer.close(), ProglogError);
  }
});

// The first question shows what is no server, before anything is sent.
test("a producer for something that refuses every call appends nothing", async (t) => {
  const server = http2.createServer((_, res) => void res.writeHead(404).end());
  const fake = new Fake();
  await listen(t, server, fake);
  const producer = nodePlatform.client(t, fake.address).producer();
  await rejection(
    producer.send("a").then((sent) => sent.wait()),
    NothingAppendedError,
  );
});

test("something else that answers is no server", async (t) => {
  const answer = async (): Promise<Response> =>
    new Response("<html>", { headers: { "Content-Type": "text/html" } });
  const client = new browser.Client("http://127.0.0.1", { fetch: answer });
  t.after(() => client.close());
  const e = await rejection(client.consume(0), ProglogError);
  assert.match(e.message, /unsupported content type text\/html/);
});

test("addresses and options that make no sense are refused", async () => {
  for (const address of [
    "",
    "localhost:8400",
    "ftp://a",
    "http://u:p@a",
    "http://a/?q",
    "http://a/#f",
  ]) {
    assert.throws(() => new Client(address), TypeError, address);
    assert.throws(() => new browser.Client(address), TypeError, address);
  }
  const wrong: [object, new () => Error][] = [
    [{ token: "t" }, TypeError],
    [{ retry: { attempts: 0 } }, RangeError],
    [{ retry: { minDelayMs: 0 } }, RangeError],
    [{ retry: { minDelayMs: 10, maxDelayMs: 5 } }, RangeError],
    [{ retry: { maxDelayMs: 1e9 } }, RangeError],
    [{ limits: { valueBytes: 0 } }, RangeError],
    [{ timeoutMs: 0 }, RangeError],
    [{ tls: {} }, TypeError],
    [{ protocol: "soap" }, TypeError],
    [{ httpVersion: "3" }, TypeError],
    [{ httpVersion: "1.1", protocol: "grpc" }, TypeError],
  ];
  for (const [options, kind] of wrong) {
    assert.throws(() => new Client("http://example.com", options), kind, JSON.stringify(options));
  }
  for (const address of [
    "http://127.0.0.1",
    "http://[::1]:8400",
    "http://localhost",
    "https://a.b",
  ]) {
    await new Client(address, { token: "t" }).close();
  }
});

test("a path in front of the methods is kept", async (t) => {
  const fake = await startFake(t, "1.1");
  const urls: string[] = [];
  const client = new browser.Client(fake.address + "/log/", {
    fetch: (input, init) => {
      urls.push(String(input));
      return fetch(String(input).replace("/log/log.v1", "/log.v1"), init);
    },
    credentials: "omit",
  });
  t.after(() => client.close());
  await client.describeLog("");
  assert.deepEqual(urls, [`${fake.address}/log/log.v1.Log/GetLog`]);
});

test("a cursor's log has the name that every SDK gives it", () => {
  assert.equal(cursorLog("orders", "billing"), "orders.cursor/billing");
  assert.equal(cursorLog("", "billing"), "cursor/billing");
});

test("the version is that of the package, and has a place in the changelog", async () => {
  const root = new URL("../../", import.meta.url);
  const { version } = JSON.parse(await readFile(new URL("package.json", root), "utf8")) as {
    version: string;
  };
  assert.equal(VERSION, version);
  const changelog = await readFile(new URL("CHANGELOG.md", root), "utf8");
  assert.match(changelog, /^## (Unreleased|0\.1\.0)/m);
});
