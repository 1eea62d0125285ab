// A host that becomes unreachable: before a connection is made nothing was sent; after it,
// nobody knows what arrived, though the system names both alike.
import assert from "node:assert/strict";
import * as net from "node:net";
import { describe, test } from "node:test";
import { NothingAppendedError, OutcomeUnknownError } from "../src/index.js";
import { nobody } from "./fake.js";
import { platforms, rejection } from "./platforms.js";

for (const platform of platforms) {
  describe(`unreachable: ${platform.name}`, () => {
    for (const code of ["EHOSTUNREACH", "ENETUNREACH", "ECONNREFUSED"]) {
      // Goal: no promise that nothing was appended, when the request had arrived. Method: the
      // client's own socket breaks off as the system does it, while the server appends.
      test(`${code} of a connection that was made`, async (t) => {
        const sockets = new Set<net.Socket>();
        const connect = net.Socket.prototype.connect;
        const noting = function (this: net.Socket, ...args: unknown[]): net.Socket {
          sockets.add(this);
          return (connect as (...args: unknown[]) => net.Socket).apply(this, args);
        };
        t.mock.method(net.Socket.prototype, "connect", noting as typeof connect);
        const fake = await platform.fake(t);
        fake.hooks.produce = async (request) => {
          const answer = fake.append(request);
          const e = Object.assign(new Error(`read ${code}`), { code, syscall: "read", errno: -1 });
          for (const socket of sockets) socket.destroy(e);
          return answer;
        };
        const client = platform.client(t, fake.address, { retry: { attempts: 1 } });
        await rejection(client.produce("a", { alone: true }), OutcomeUnknownError);
        assert.equal(fake.records.length, 1);
      });
    }

    // Goal: the other side of it: a connection that was never made has sent nothing.
    test("a connection that was never made", async (t) => {
      const client = platform.client(t, await nobody());
      await rejection(client.produce("a", { alone: true }), NothingAppendedError);
    });
  });
}
