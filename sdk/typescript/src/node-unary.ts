import * as http2 from "node:http2";
import { Code, ConnectError } from "@connectrpc/connect";
import { createNodeHttpClient } from "@connectrpc/connect-node";
import type { UniversalClientFn, UniversalClientResponse } from "@connectrpc/connect/protocol";
import { contentTypeUnaryProto } from "@connectrpc/connect/protocol-connect";
import type { Sessions } from "./node-sessions.js";

type Request = Parameters<UniversalClientFn>[0];

/**
 * Carries out the requests of the Connect protocol over HTTP/2. Those of unary calls are sent
 * and their answers read in one go; those of streams are the library's. For a unary call the
 * library makes an error with its stack, an iterator over the stream and a promise for each
 * step, which was a tenth of the processor's time of a read of one record.
 *
 * An answer is not read beyond `maxBytes` and what was under way; the library judges it then.
 */
export function http2Client(sessions: Sessions, maxBytes: number): UniversalClientFn {
  const streams = createNodeHttpClient({ httpVersion: "2", sessionProvider: () => sessions });
  return async (request) => {
    if (request.header.get("Content-Type") !== contentTypeUnaryProto) return streams(request);
    return exchange(sessions, request, await join(request.body), maxBytes);
  };
}

/** Sends a request, and resolves when its answer is complete. */
function exchange(
  sessions: Sessions,
  request: Request,
  body: Uint8Array,
  maxBytes: number,
): Promise<UniversalClientResponse> {
  const { url, method, signal } = request;
  return new Promise((resolve, reject) => {
    let stream: http2.ClientHttp2Stream | undefined;
    let head: http2.IncomingHttpHeaders & http2.IncomingHttpStatusHeader = {};
    let done = false;
    const chunks: Uint8Array[] = [];
    let bytes = 0;
    const end = (): void => {
      done = true;
      signal?.removeEventListener("abort", aborted);
    };
    const aborted = (): void => {
      end();
      reject(ConnectError.from(signal!.reason, Code.Canceled));
      stream?.close(http2.constants.NGHTTP2_CANCEL);
    };
    const complete = (): void => {
      end();
      const status = head[":status"] ?? 0;
      resolve({ status, header: toWeb(head), body: iterate(chunks), trailer: new Headers() });
    };
    const fail = (cause?: unknown): void => {
      if (done) return; // a server may reset a stream whose answer it has completed
      end();
      reject(broken(stream?.rstCode, cause));
    };
    if (signal?.aborted) return aborted();
    signal?.addEventListener("abort", aborted);
    const path = url.slice(sessions.authority.length);
    sessions.request(method, path, fromWeb(request.header), {}).then((opened) => {
      stream = opened;
      stream.on("error", fail);
      stream.on("close", fail);
      if (done) return stream.close(http2.constants.NGHTTP2_CANCEL);
      stream.on("response", (headers) => (head = headers));
      stream.on("data", (chunk: Uint8Array) => {
        sessions.notifyResponseByteRead(opened);
        chunks.push(chunk);
        bytes += chunk.length;
        if (bytes <= maxBytes || done) return;
        complete();
        opened.close(http2.constants.NGHTTP2_CANCEL);
      });
      // Node ends also what was reset, and some resets are no error to it.
      stream.on("end", () => {
        if (head[":status"] === undefined || opened.rstCode) fail();
        else complete();
      });
      stream.end(body);
    }, fail);
  });
}

/** The error of a request whose answer did not come, or only a part of it. */
function broken(code: number | undefined, cause: unknown): ConnectError {
  if (cause instanceof ConnectError) return cause;
  const e = cause instanceof Error ? cause : undefined;
  const own = e !== undefined && (e as { code?: unknown }).code !== "ERR_HTTP2_STREAM_ERROR";
  if (own || code === undefined || code === http2.constants.NGHTTP2_NO_ERROR) {
    const message = e?.message ?? "the stream ended before its answer was complete";
    return new ConnectError(message, Code.Unavailable, undefined, undefined, e);
  }
  const name = resets.get(code) ?? "unknown";
  const message = `http/2 stream closed with error code ${name} (0x${code.toString(16)})`;
  return new ConnectError(message, Code.Unavailable, undefined, undefined, e);
}

/** The names of the codes with which a stream is reset, as RFC 9113 has them. */
const resets = new Map<number, string>(
  [
    ...["NO_ERROR", "PROTOCOL_ERROR", "INTERNAL_ERROR", "FLOW_CONTROL_ERROR", "SETTINGS_TIMEOUT"],
    ...["STREAM_CLOSED", "FRAME_SIZE_ERROR", "REFUSED_STREAM", "CANCEL", "COMPRESSION_ERROR"],
    ...["CONNECT_ERROR", "ENHANCE_YOUR_CALM", "INADEQUATE_SECURITY", "HTTP_1_1_REQUIRED"],
  ].map((name, code) => [code, name]),
);

/** The body of a unary request, which the library makes of one piece. */
async function join(body: Request["body"]): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of body ?? []) chunks.push(chunk);
  return chunks.length === 1 ? chunks[0]! : Buffer.concat(chunks);
}

async function* iterate(chunks: readonly Uint8Array[]): AsyncGenerator<Uint8Array> {
  yield* chunks;
}

function fromWeb(headers: Headers): http2.OutgoingHttpHeaders {
  const out: http2.OutgoingHttpHeaders = {};
  headers.forEach((value, name) => (out[name] = value));
  return out;
}

function toWeb(headers: http2.IncomingHttpHeaders): Headers {
  const out = new Headers();
  for (const [name, value] of Object.entries(headers)) {
    if (name.startsWith(":") || value === undefined) continue;
    for (const each of Array.isArray(value) ? value : [value]) out.append(name, String(each));
  }
  return out;
}
