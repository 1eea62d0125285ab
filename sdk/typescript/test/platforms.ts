// The two entries of the package, each against a fake that it can speak to.
import type { TestContext } from "node:test";
import * as browser from "../src/browser.js";
import type { CommonOptions } from "../src/common.js";
import type { Client } from "../src/client.js";
import * as node from "../src/index.js";
import { type Fake, startFake } from "./fake.js";

/** One entry. */
export interface Platform {
  readonly name: string;
  readonly streams: boolean;
  /** Makes a client, which the end of the test closes. */
  client(t: TestContext, address: string, options?: CommonOptions): Client;
  /** Starts a fake that the entry can speak to. */
  fake(t: TestContext): Promise<Fake>;
}

/** Retries come fast in tests. */
const fast = { retry: { attempts: 5, minDelayMs: 1, maxDelayMs: 5 } };

function closing<C extends Client>(t: TestContext, client: C): C {
  t.after(() => client.close());
  return client;
}

export const nodePlatform: Platform = {
  name: "node",
  streams: true,
  client: (t, address, options) => closing(t, new node.Client(address, { ...fast, ...options })),
  fake: (t) => startFake(t, "2"),
};

export const grpcPlatform: Platform = {
  ...nodePlatform,
  name: "node, gRPC",
  client: (t, address, options) =>
    closing(t, new node.Client(address, { ...fast, protocol: "grpc", ...options })),
};

export const http1Platform: Platform = {
  name: "node, HTTP/1.1",
  streams: false,
  client: (t, address, options) =>
    closing(t, new node.Client(address, { ...fast, httpVersion: "1.1", ...options })),
  fake: (t) => startFake(t, "1.1"),
};

export const fetchPlatform: Platform = {
  name: "fetch",
  streams: false,
  client: (t, address, options) => closing(t, new browser.Client(address, { ...fast, ...options })),
  fake: (t) => startFake(t, "1.1"),
};

export const platforms = [nodePlatform, grpcPlatform, http1Platform, fetchPlatform];

/** The text of a value. */
export const text = (value: Uint8Array): string => new TextDecoder().decode(value);

/** Returns what a promise is rejected with, which has to be of a class. */
export async function rejection<E>(
  promise: PromiseLike<unknown>,
  kind: abstract new (...args: never[]) => E,
): Promise<E> {
  let value: unknown;
  try {
    value = await promise;
  } catch (e) {
    if (e instanceof kind) return e;
    throw e;
  }
  throw new Error(`it did not fail, but came to ${String(value)}`);
}
