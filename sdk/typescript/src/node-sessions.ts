import type * as http2 from "node:http2";
import * as net from "node:net";
import * as tls from "node:tls";
import { Http2SessionManager } from "@connectrpc/connect-node";
import { DIAL_TIMEOUT } from "./translate.js";

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
 * The session of HTTP/2, with wider windows and a bound on dialling. One that has gone
 * silent is replaced: what is left on it ends when its pings fail.
 */
export class Sessions {
  readonly authority: string;
  readonly #make: () => Http2SessionManager;
  #current: Http2SessionManager;
  readonly #all = new Set<Http2SessionManager>();
  readonly #owners = new WeakMap<http2.ClientHttp2Stream, Http2SessionManager>();
  readonly #known = new WeakSet<http2.Http2Session>();

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
    if (stream.session !== undefined) this.#meet(stream.session);
    return stream;
  }

  /** Sets up a session when it is first seen. */
  #meet(session: http2.Http2Session): void {
    if (this.#known.has(session)) return;
    this.#known.add(session);
    // The manager stops listening when it leaves a session, which may fail after that: such
    // as for a peer that speaks something else. Its streams tell their calls of it.
    session.on("error", () => {});
    if (!session.destroyed) session.setLocalWindowSize(connectionWindow);
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
