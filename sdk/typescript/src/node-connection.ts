import { X509Certificate } from "node:crypto";
import type * as http2 from "node:http2";
import * as http from "node:http";
import * as https from "node:https";
import * as net from "node:net";
import * as tls from "node:tls";
import {
  createConnectTransport,
  createGrpcTransport,
  Http2SessionManager,
} from "@connectrpc/connect-node";
import type { Settings } from "./options.js";
import { DIAL_TIMEOUT } from "./translate.js";
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
   * "connect" is the default: it needs no HTTP trailers, and so passes any proxy. "grpc" is
   * for networks that let through only that.
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
/** How long, in ms, a connection may take to be made, its TLS handshake included. */
const dialTimeoutMs = 5_000;
/** How long, in ms, a connection without a call stays open. */
const idleTimeoutMs = 90_000;
/**
 * A connection on which nothing arrived for so many ms is asked for a sign of life, and
 * given up pingTimeoutMs later.
 */
const pingAfterMs = 15_000;
const pingTimeoutMs = 5_000;
/**
 * How much a server may send ahead, on a stream and on a connection. The 64 KiB that HTTP/2
 * begins with would bound a read to that much for each round trip.
 */
const streamWindow = 2 << 20;
const connectionWindow = 8 << 20;

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
    };
  }
  const sessionManager = new Sessions(base, tlsOptions);
  const http2Options = { ...common, httpVersion, sessionManager } as const;
  return {
    transport:
      protocol === "grpc"
        ? createGrpcTransport({ ...common, sessionManager })
        : createConnectTransport(http2Options),
    streams: true,
    userAgent,
    life: () => sessionManager.life,
    renew: (life) => sessionManager.renew(life),
    warn,
    close: () => sessionManager.abort(),
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

/**
 * The session of HTTP/2, with wider windows and a bound on dialling. One that has gone
 * silent is replaced: what is left on it ends when its pings fail.
 */
class Sessions {
  readonly authority: string;
  readonly #make: () => Http2SessionManager;
  #current: Http2SessionManager;
  readonly #all = new Set<Http2SessionManager>();
  readonly #owners = new WeakMap<http2.ClientHttp2Stream, Http2SessionManager>();
  readonly #widened = new WeakSet<http2.Http2Session>();

  constructor(base: URL, tlsOptions: tls.ConnectionOptions) {
    const pings = { pingIntervalMs: pingAfterMs, pingTimeoutMs };
    this.#make = () =>
      new Http2SessionManager(
        base,
        { ...pings, idleConnectionTimeoutMs: idleTimeoutMs },
        {
          settings: { initialWindowSize: streamWindow, enablePush: false },
          createConnection: (authority) => dial(authority, tlsOptions),
        },
      );
    this.#current = this.#make();
    this.#all.add(this.#current);
    this.authority = this.#current.authority;
  }

  /** Is another one after each replacement. */
  get life(): unknown {
    return this.#current;
  }

  /** Opens another connection for the calls to come, unless somebody did since that life. */
  renew(life: unknown): void {
    if (life !== this.#current) return;
    for (const old of this.#all) {
      const state = old.state();
      if (old !== this.#current && (state === "closed" || state === "error")) this.#all.delete(old);
    }
    this.#current = this.#make();
    this.#all.add(this.#current);
  }

  state(): ReturnType<Http2SessionManager["state"]> {
    return this.#current.state();
  }

  error(): unknown {
    return this.#current.error();
  }

  connect(): ReturnType<Http2SessionManager["connect"]> {
    return this.#current.connect();
  }

  async request(
    ...args: Parameters<Http2SessionManager["request"]>
  ): Promise<http2.ClientHttp2Stream> {
    const owner = this.#current;
    const stream = await owner.request(...args);
    this.#owners.set(stream, owner);
    const { session } = stream;
    if (session !== undefined && !session.destroyed && !this.#widened.has(session)) {
      this.#widened.add(session);
      session.setLocalWindowSize(connectionWindow);
    }
    return stream;
  }

  notifyResponseByteRead(stream: http2.ClientHttp2Stream): void {
    this.#owners.get(stream)?.notifyResponseByteRead(stream);
  }

  abort(reason?: Error): void {
    for (const each of this.#all) each.abort(reason);
  }
}

/** Opens a socket for HTTP/2, which has to be ready in time. */
function dial(authority: URL, tlsOptions: tls.ConnectionOptions): net.Socket {
  const host = authority.hostname.replace(/^\[(.*)\]$/, "$1");
  const isSecure = authority.protocol === "https:";
  const port = Number(authority.port) || (isSecure ? 443 : 80);
  const name = net.isIP(host) === 0 ? { servername: host } : {};
  const socket = isSecure
    ? tls.connect({ host, port, ALPNProtocols: ["h2"], ...name, ...tlsOptions })
    : net.connect({ host, port });
  socket.setNoDelay(true);
  const timer = setTimeout(() => {
    const e = new Error(`no connection within ${dialTimeoutMs} ms`);
    socket.destroy(Object.assign(e, { code: DIAL_TIMEOUT }));
  }, dialTimeoutMs);
  const stop = (): void => clearTimeout(timer);
  socket.once(isSecure ? "secureConnect" : "connect", stop);
  socket.once("close", stop);
  return socket;
}
