import { X509Certificate } from "node:crypto";
import * as http from "node:http";
import * as https from "node:https";
import * as tls from "node:tls";
import { createConnectTransport, createGrpcTransport } from "@connectrpc/connect-node";
import { validateReadWriteMaxBytes } from "@connectrpc/connect/protocol";
import { createTransport } from "@connectrpc/connect/protocol-connect";
import { Sessions } from "./node-sessions.js";
import { http2Client } from "./node-unary.js";
import type { Settings } from "./options.js";
import type { Connection } from "./wire.js";

/** What an https:// address is reached with. Certificates and keys are in PEM. */
export interface TlsOptions {
  /** The authorities to trust, instead of those of the system. */
  ca?: string | Uint8Array | readonly (string | Uint8Array)[] | undefined;
  /** The client's own certificate. */
  cert?: string | Uint8Array | undefined;
  /** The key of the client's own certificate. */
  key?: string | Uint8Array | undefined;
  /** What the key is encrypted with. */
  passphrase?: string | undefined;
  /** The name that the server's certificate has to have, if not that of the address. */
  serverName?: string | undefined;
}

/** What a client in Node can be told besides. */
export interface NodeOptions {
  /** What an https:// address is reached with. */
  tls?: TlsOptions | undefined;
  /**
   * "connect" is the default: it needs no HTTP trailers. "grpc" is for networks that let
   * through only that. A proxy that holds a request back until it is complete lets no stream
   * of requests through, in either: `alone` of `produce` does without one.
   */
  protocol?: "connect" | "grpc" | undefined;
  /**
   * "2" is the default. Over "1.1" requests cannot be streamed: producers send one batch at
   * a time then.
   */
  httpVersion?: "2" | "1.1" | undefined;
}

/**
 * The largest response that is read: the highest that a server's limit of a value can
 * be, its headers and the encoding.
 */
const maxResponseBytes = 17 << 20;
/**
 * Makes a connection by Node's HTTP. Nothing is dialled before the first call.
 *
 * @internal
 */
export function nodeConnection(base: URL, settings: Settings, options: NodeOptions): Connection {
  const { protocol = "connect", httpVersion = "2" } = options;
  if (protocol !== "connect" && protocol !== "grpc") {
    throw new TypeError(`proglog: there is no protocol "${String(protocol)}"`);
  }
  if (httpVersion !== "2" && httpVersion !== "1.1") {
    throw new TypeError(`proglog: httpVersion is "2" or "1.1", not "${String(httpVersion)}"`);
  }
  if (protocol === "grpc" && httpVersion === "1.1") {
    throw new TypeError("proglog: gRPC needs HTTP/2");
  }
  if (options.tls !== undefined && base.protocol !== "https:") {
    throw new TypeError("proglog: tls has no effect on an http:// address");
  }
  const tlsOptions = secure(options.tls);
  const common = {
    baseUrl: base.href.replace(/\/$/, ""),
    useBinaryFormat: true,
    acceptCompression: [], // compressing small records costs more than sending them
    readMaxBytes: maxResponseBytes,
  };
  const { userAgent } = settings;
  if (httpVersion === "1.1") {
    const agent =
      base.protocol === "https:"
        ? new https.Agent({ keepAlive: true, ...tlsOptions })
        : new http.Agent({ keepAlive: true });
    return {
      transport: createConnectTransport({
        ...common,
        httpVersion,
        nodeOptions: { agent },
      }),
      streams: false,
      userAgent,
      warn,
      close: () => agent.destroy(),
      endsCalls: false, // a call that has no socket yet would open one
    };
  }
  const sessionManager = new Sessions(base, tlsOptions);
  return {
    transport:
      protocol === "grpc"
        ? createGrpcTransport({ ...common, sessionManager })
        : createTransport({
            ...common,
            ...validateReadWriteMaxBytes(maxResponseBytes, undefined, undefined),
            interceptors: [],
            sendCompression: null,
            httpClient: http2Client(sessionManager, maxResponseBytes),
          }),
    streams: true,
    userAgent,
    life: () => sessionManager.life,
    renew: (life) => sessionManager.renew(life),
    warn,
    close: () => sessionManager.abort(),
    endsCalls: true,
  };
}

function warn(text: string): void {
  process.emitWarning(text, { type: "ProglogWarning" });
}

/** Names the options as Node does. */
function secure(given: TlsOptions | undefined): tls.ConnectionOptions {
  if (given === undefined) return {};
  const { ca, cert, key, passphrase, serverName } = given;
  const pem = (p: string | Uint8Array): string | Buffer =>
    typeof p === "string" ? p : Buffer.from(p);
  const list =
    ca === undefined || typeof ca === "string" || ca instanceof Uint8Array ? ca : [...ca];
  const named = {
    ...(list === undefined ? {} : { ca: Array.isArray(list) ? list.map(pem) : pem(list) }),
    ...(cert === undefined ? {} : { cert: pem(cert) }),
    ...(key === undefined ? {} : { key: pem(key) }),
    ...(passphrase === undefined ? {} : { passphrase }),
    ...(serverName === undefined ? {} : { servername: serverName }),
  };
  checkSecure(named);
  return named;
}

/** Throws a TypeError at certificates and keys that cannot be used; no call would bring that up. */
function checkSecure(named: tls.ConnectionOptions): void {
  const wrong = (what: string, cause: unknown): Error =>
    new TypeError(`proglog: tls: ${what}`, { cause });
  for (const pem of named.ca === undefined ? [] : [named.ca].flat()) {
    const blocks = String(pem).match(/-----BEGIN [^-]+-----.*?-----END [^-]+-----/gs);
    // OpenSSL takes a text without any, and trusts nobody then.
    if (blocks === null) throw wrong("ca holds no certificate in PEM", undefined);
    for (const block of blocks) {
      try {
        new X509Certificate(block);
      } catch (cause) {
        throw wrong("ca holds a certificate that cannot be read", cause);
      }
    }
  }
  if ((named.cert === undefined) !== (named.key === undefined)) {
    throw wrong("cert and key come together", undefined);
  }
  try {
    tls.createSecureContext(named);
  } catch (cause) {
    throw wrong(cause instanceof Error ? cause.message : String(cause), cause);
  }
}
