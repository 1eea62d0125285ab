/**
 * The client of proglog, an append-only commit log, for Node. In browsers the same
 * names come over the Fetch API.
 *
 * @module
 */
import { Client as CommonClient } from "./client.js";
import { nodeConnection, type NodeOptions } from "./node-connection.js";
import { type CommonOptions, parseBase, parseSettings } from "./options.js";

export * from "./common.js";
export type { TlsOptions } from "./node-connection.js";

/** The options of a client in Node. */
export interface ClientOptions extends CommonOptions, NodeOptions {}

/** Speaks to one server over HTTP/2. */
export class Client extends CommonClient {
  /**
   * Makes a client of the server at an address, such as "http://127.0.0.1:8400": over
   * HTTP/2, for https:// with TLS. Nothing is dialled before the first call. It throws a
   * TypeError or a RangeError if the address or an option makes no sense.
   */
  constructor(address: string, options: ClientOptions = {}) {
    const base = parseBase(address);
    const settings = parseSettings(base, options);
    super(nodeConnection(base, settings, options), settings);
  }
}
