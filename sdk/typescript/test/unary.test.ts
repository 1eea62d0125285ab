// Answers to single calls over HTTP/2 that are cut off, reset or too large.
import assert from "node:assert/strict";
import * as http2 from "node:http2";
import { type TestContext, test } from "node:test";
import { NothingAppendedError, OutcomeUnknownError, ProglogError } from "../src/index.js";
import { Fake, listen } from "./fake.js";
import { grpcPlatform, nodePlatform, rejection } from "./platforms.js";

/** Starts a server that does one thing with every request. */
async function answering(
  t: TestContext,
  answer: (stream: http2.ServerHttp2Stream) => void,
): Promise<{ address: string; requests: () => number }> {
  let requests = 0;
  const server = http2.createServer();
  server.on("stream", (stream) => {
    requests++;
    stream.on("error", () => {});
    answer(stream);
  });
  const fake = new Fake();
  await listen(t, server, fake);
  return { address: fake.address, requests: () => requests };
}

const { NGHTTP2_REFUSED_STREAM, NGHTTP2_CANCEL, NGHTTP2_INTERNAL_ERROR, NGHTTP2_NO_ERROR } =
  http2.constants;
const head = { ":status": 200, "content-type": "application/proto" };
const once = { attempts: 1, minDelayMs: 1, maxDelayMs: 1 };
/** A ConsumeResponse with the record 7, whose value is "a", field by field. */
const answer7 = [
  [0x12, 0x05],
  [0x0a, 0x01, 0x61],
  [0x10, 0x07],
].map((bytes) => Buffer.from(bytes));

// Goal: HTTP/2 promises that a refused stream was not looked at; of other resets nobody knows.
for (const platform of [nodePlatform, grpcPlatform]) {
  test(`what a server refuses to look at was not appended, what it resets may be: ${platform.name}`, async (t) => {
    const codes = [NGHTTP2_REFUSED_STREAM, NGHTTP2_INTERNAL_ERROR, NGHTTP2_CANCEL];
    for (const code of codes) {
      const { address } = await answering(t, (stream) => stream.close(code));
      const client = platform.client(t, address, { retry: once });
      const unsent = code === NGHTTP2_REFUSED_STREAM;
      const e = await rejection(client.produce("a", { alone: true }), ProglogError);
      assert.ok(e instanceof (unsent ? NothingAppendedError : OutcomeUnknownError), String(code));
      assert.equal(e.code, "unavailable", String(code));
      assert.match(e.message, /stream closed with error code/i, String(code));
    }
  });
}

// Goal: a part of an answer is none, whatever it could be read as.
test("an answer that is cut off is an error", async (t) => {
  const cuts: { [what: string]: (stream: http2.ServerHttp2Stream) => void } = {
    "before its head": (stream) => stream.close(NGHTTP2_NO_ERROR),
    "behind its head": (stream) => {
      stream.respond(head);
      stream.destroy(new Error("cut off"));
    },
    "behind a whole record": (stream) => {
      stream.respond(head);
      stream.write(Buffer.concat(answer7), () => stream.destroy(new Error("cut off")));
    },
    "before its promised length": (stream) => {
      stream.respond({ ...head, "content-length": 100 });
      stream.write(Buffer.concat(answer7), () => stream.close(NGHTTP2_NO_ERROR));
    },
    "with its connection": (stream) => {
      stream.respond(head);
      stream.write(Buffer.concat(answer7), () => stream.session?.destroy());
    },
  };
  for (const [what, cut] of Object.entries(cuts)) {
    const { address, requests } = await answering(t, cut);
    const retry = { attempts: 2, minDelayMs: 1, maxDelayMs: 1 };
    const client = nodePlatform.client(t, address, { retry });
    const e = await rejection(client.consume(7), ProglogError);
    assert.equal(e.code, "unavailable", `${what}: ${e.message}`);
    assert.equal(requests(), 2, `${what}: another try may help`);
  }
});

// Goal: an answer counts when it is complete, in however many pieces it comes, and also if the
// server then resets what it has not read of the request.
test("an answer in pieces is one, also with a reset behind it", async (t) => {
  const { address } = await answering(t, (stream) => {
    stream.respond(head);
    const next = (i: number): void => {
      if (i < answer7.length) stream.write(answer7[i]!, () => next(i + 1));
      else stream.end(() => stream.close(NGHTTP2_NO_ERROR));
    };
    next(0);
  });
  const record = await nodePlatform.client(t, address).consume(7);
  assert.equal(record.offset, 7n);
  assert.deepEqual([...record.value], [0x61]);
});

// Goal: what a server sends without an end is not kept without a bound.
test("an answer that is too large is given up, and not asked for again", async (t) => {
  let sent = 0;
  const { address, requests } = await answering(t, (stream) => {
    stream.respond(head);
    const more = (): void => {
      if (stream.destroyed || stream.closed) return;
      sent += 1 << 20;
      stream.write(Buffer.alloc(1 << 20), more);
    };
    more();
  });
  const e = await rejection(nodePlatform.client(t, address).consume(7), ProglogError);
  assert.equal(e.code, "resource_exhausted");
  assert.equal(requests(), 1);
  assert.ok(sent < 64 << 20, `${sent} bytes were sent`);
});
