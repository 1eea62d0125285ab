// TLS against a server of this process, whose certificate an authority of the test's own
// has signed.
import { connectNodeAdapter } from "@connectrpc/connect-node";
import assert from "node:assert/strict";
import * as http2 from "node:http2";
import * as https from "node:https";
import { test, type TestContext } from "node:test";
import type { TLSSocket } from "node:tls";
import { Client, type ClientOptions, NothingAppendedError } from "../src/index.js";
import { makeCertificate } from "./certificate.js";
import { Fake, listen, stopping } from "./fake.js";
import { rejection } from "./platforms.js";

const authority = makeCertificate("an authority of a test");
const serverCert = makeCertificate("server", authority);
const clientCert = makeCertificate("client", authority);

async function secureFake(
  t: TestContext,
  version: "2" | "1.1",
  clients = false,
  maxVersion: "TLSv1.2" | "TLSv1.3" = "TLSv1.3",
) {
  const fake = new Fake();
  const subjects: string[] = [];
  const handler = connectNodeAdapter({ routes: fake.routes, shutdownSignal: stopping(t) });
  const { cert, key } = serverCert;
  const tls = {
    maxVersion,
    cert,
    key,
    ca: authority.cert,
    requestCert: clients,
    rejectUnauthorized: clients,
  };
  const server =
    version === "2" ? http2.createSecureServer(tls, handler) : https.createServer(tls, handler);
  server.on("secureConnection", (socket: TLSSocket) => {
    const subject: unknown = socket.getPeerCertificate()?.subject?.CN;
    if (typeof subject === "string") subjects.push(subject);
  });
  await listen(t, server, fake, "https");
  return { fake, subjects };
}

function make(t: TestContext, address: string, options: ClientOptions): Client {
  const retry = { attempts: 2, minDelayMs: 1, maxDelayMs: 1 };
  const client = new Client(address, { retry, ...options });
  t.after(() => client.close());
  return client;
}

for (const httpVersion of ["2", "1.1"] as const) {
  test(`a server that the given authority vouches for: HTTP/${httpVersion}`, async (t) => {
    const { fake } = await secureFake(t, httpVersion);
    const ca = [Buffer.from(authority.cert)];
    const client = make(t, fake.address, { httpVersion, tls: { ca }, token: "t" });
    const producer = client.producer();
    await producer.send("a");
    await producer.close();
    for await (const record of client.follow()) {
      assert.equal(record.offset, 0n);
      break;
    }
  });

  test(`a server that nobody vouches for: HTTP/${httpVersion}`, async (t) => {
    const { fake } = await secureFake(t, httpVersion);
    let tries = 0;
    const trace = (): void => void tries++;
    const client = make(t, fake.address, { httpVersion, trace });
    const e = await rejection(client.produce("a", { alone: true }), NothingAppendedError);
    assert.match(e.message, /certificate|self.signed|issuer/i);
    assert.equal(tries, 1, "another try cannot help");
    const wrongName = make(t, fake.address, {
      httpVersion,
      tls: { ca: authority.cert, serverName: "elsewhere.example" },
    });
    const other = await rejection(wrongName.produce("a", { alone: true }), NothingAppendedError);
    assert.match(other.message, /elsewhere\.example|altnames/);
    assert.equal(fake.produces.length, 0);
  });

  test(`the client's own certificate: HTTP/${httpVersion}`, async (t) => {
    const { fake, subjects } = await secureFake(t, httpVersion, true);
    const ca = authority.cert;
    const { cert, key } = clientCert;
    await make(t, fake.address, { httpVersion, tls: { ca, cert, key } }).describeLog("");
    assert.deepEqual(subjects, ["client"]);
  });

  // The server says why it ends the connection, and it will say the same the next time. It
  // came to no request: so it is final, nothing is appended, and the error says what to do.
  for (const maxVersion of ["TLSv1.2", "TLSv1.3"] as const) {
    test(`no certificate where one is wanted: HTTP/${httpVersion}, ${maxVersion}`, async (t) => {
      const { fake } = await secureFake(t, httpVersion, true, maxVersion);
      let tries = 0;
      const client = make(t, fake.address, {
        ...{ httpVersion, trace: (): void => void tries++ },
        tls: { ca: authority.cert },
      });
      const e = await rejection(client.produce("a", { alone: true }), NothingAppendedError);
      assert.match(e.message, /certificate of the client.*`tls: \{ cert, key \}`/);
      assert.equal(tries, 1, "another try cannot help");
      const producer = client.producer();
      await rejection(
        producer.send("a").then((sent) => sent.wait()),
        NothingAppendedError,
      );
      assert.equal(fake.produces.length, 0);
    });
  }
}
