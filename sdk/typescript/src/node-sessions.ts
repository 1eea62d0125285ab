import type * as http2 from "node:http2";
import * as net from "node:net";
import * as tls from "node:tls";
import { Code, ConnectError } from "@connectrpc/connect";
import { Http2SessionManager } from "@connectrpc/connect-node";
import { Change } from "./future.js";
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
 * How much a connection may hold, in MB, as Node counts: 64 of the largest values on their
 * way. Beyond it Node breaks streams off; with its own 10 MB, one large value does that. What
 * callers send at a time, and the windows, bound it before.
 */
const maxSessionMemory = 64 * 17;

/** A connection, and how many streams there are on it, or about to be. */
interface Lane {
  readonly manager: Http2SessionManager;
  streams: number;
}

/**
 * The connections of HTTP/2, with wider windows and a bound on dialling. Where the server's
 * limit of streams is near, the streams to come get another one. All are replaced when one
 * has gone silent: what is left on it ends when its pings fail.
 */
export class Sessions {
  readonly authority: string;
  readonly #make: () => Http2SessionManager;
  /** What the streams to come go over, in the order of use. */
  #lanes: Lane[] = [];
  /** Those, and the replaced ones that may still have streams. */
  readonly #all = new Set<Lane>();
  readonly #owners = new WeakMap<http2.ClientHttp2Stream, Http2SessionManager>();
  readonly #known = new WeakSet<http2.Http2Session>();
  /** How many streams a connection may have, as the server said last. */
  #limit: number | undefined;
  /** The server told its limit, or a stream ended without that. */
  readonly #news = new Change();
  #closed = false;

  constructor(base: URL, tlsOptions: tls.ConnectionOptions) {
    const pings = { pingIntervalMs: pingAfterMs, pingTimeoutMs };
    this.#make = () =>
      new Http2SessionManager(
        base,
        { ...pings, idleConnectionTimeoutMs: idleTimeoutMs },
        {
          settings: { initialWindowSize: streamWindow, enablePush: false },
          maxSessionMemory,
          // The manager opens one of its own where the one that it verified is gone.
          createConnection: (authority) =>
            this.#closed ? refusedDial() : dial(authority, tlsOptions),
        },
      );
    this.authority = this.#open().manager.authority;
  }

  #open(): Lane {
    const lane = { manager: this.#make(), streams: 0 };
    this.#lanes.push(lane);
    this.#all.add(lane);
    return lane;
  }

  /** Is another one after each replacement. */
  get life(): unknown {
    return this.#lanes;
  }

  /** Opens another connection for the calls to come, unless somebody did since that life. */
  renew(life: unknown): void {
    if (life !== this.#lanes) return;
    this.#lanes = [];
    for (const old of this.#all) {
      const state = old.manager.state();
      const gone = state === "closed" || state === "error";
      if (gone && old.streams === 0) this.#all.delete(old);
    }
    this.#open();
    this.#news.tell();
  }

  /** That of the connection which is used first. */
  get #first(): Http2SessionManager {
    return this.#lanes[0]!.manager;
  }

  state(): ReturnType<Http2SessionManager["state"]> {
    return this.#first.state();
  }

  error(): unknown {
    return this.#first.error();
  }

  connect(): ReturnType<Http2SessionManager["connect"]> {
    return this.#first.connect();
  }

  async request(
    ...args: Parameters<Http2SessionManager["request"]>
  ): Promise<http2.ClientHttp2Stream> {
    // Before the server has told its limit, one stream shows that it does. What comes too
    // early would wait on a full connection for a stream of it to end.
    if (this.#limit === undefined && this.#lanes[0]!.streams > 0) await this.#news.wait();
    if (this.#closed) throw new ConnectError("the connections are closed", Code.Canceled);
    const lane = this.#choose();
    lane.streams++;
    const left = (): void => {
      lane.streams--;
      if (this.#limit === undefined) this.#news.tell();
    };
    try {
      const stream = await lane.manager.request(...args);
      stream.once("close", left);
      this.#owners.set(stream, lane.manager);
      if (stream.session !== undefined) this.#meet(stream.session);
      return stream;
    } catch (e) {
      left();
      throw e;
    }
  }

  /** Finds the first connection with room for a stream, or opens one. */
  #choose(): Lane {
    // Some room stays, for streams that have ended here and not yet there.
    const most = this.#limit === undefined ? Infinity : Math.max(1, Math.floor(this.#limit * 0.9));
    return this.#lanes.find((lane) => lane.streams < most) ?? this.#open();
  }

  /** Sets up a session when it is first seen. */
  #meet(session: http2.Http2Session): void {
    if (this.#known.has(session)) return;
    this.#known.add(session);
    // The manager stops listening when it leaves a session, which may fail after that: such
    // as for a peer that speaks something else. Its streams tell their calls of it.
    session.on("error", () => {});
    session.on("remoteSettings", ({ maxConcurrentStreams }) => {
      this.#limit = maxConcurrentStreams ?? Infinity;
      this.#news.tell();
    });
    if (!session.destroyed) session.setLocalWindowSize(connectionWindow);
  }

  notifyResponseByteRead(stream: http2.ClientHttp2Stream): void {
    this.#owners.get(stream)?.notifyResponseByteRead(stream);
  }

  /** Ends all connections, what goes on over them, and what waits for one. */
  abort(): void {
    this.#closed = true;
    // A manager that is aborted with the code "canceled", as without a reason, counts as one
    // to be used again, and not as one that failed.
    const reason = new ConnectError("the connections are closed", Code.Unavailable);
    for (const each of this.#all) each.manager.abort(reason);
    this.#news.tell();
  }
}

/** Returns a socket that fails before it dials. */
function refusedDial(): net.Socket {
  const lookup: net.LookupFunction = (_host, _options, done) =>
    done(new Error("the connections are closed"), "");
  return net.connect({ host: "closed.invalid", port: 1, lookup });
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
