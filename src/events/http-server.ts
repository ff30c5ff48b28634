/**
 * The service's HTTP server: routes, limits, security headers, problem documents. What it serves is registered by
 * whoever owns it; WebSockets are websocket-server.ts, on the same `server`.
 */
import {
  createServer,
  type IncomingHttpHeaders,
  type IncomingMessage,
  type Server,
  type ServerResponse,
} from "node:http";
import { createServer as createTlsServer } from "node:https";
import type { AddressInfo } from "node:net";
import type { Duplex } from "node:stream";
import { type SecureContextOptions, type SecureVersion, Server as TlsServer } from "node:tls";
import { answerOn } from "../core/bare-http.ts";
import { ANYONE, type Caller, NOBODY } from "../core/caller.ts";
import { type Clock, systemClock } from "../core/clock.ts";
import { type ErrorCode, TonetapError } from "../core/errors.ts";
import { ClosesOnce } from "../core/lifecycle.ts";
import { problemOf } from "../core/problem.ts";
import { checkDoor, type DoorOptions, isForeignOrigin, requestUrl } from "./door.ts";
import {
  type HttpHandler,
  type HttpMethod,
  type HttpResponse,
  type HttpStream,
  matchRoute,
  parsePattern,
  problemResponse,
  type Route,
  type RouteOptions,
} from "./http-route.ts";
import { type AnyOperation, inputOf, type Operation, type OperationHandler } from "./operation.ts";
import { staticFiles } from "./static-files.ts";

/** What TLS needs, in PEM. */
export interface TlsMaterial {
  readonly cert: string;
  readonly key: string;
  readonly minVersion: SecureVersion;
  /** Then every client must show a certificate that one of these signed. */
  readonly clientCa?: string;
}

export interface HttpServerOptions extends DoorOptions {
  /** https and wss instead of http and ws. */
  readonly tls?: TlsMaterial;
  /** Told of every request that failed by a defect of ours (500). */
  readonly onError?: (error: TonetapError) => void;
  /**
   * Says who sends a request to a route that is not public; throws unauthenticated (401), or overloaded and `tooOften` for
   * one who asks too often (429). Default: nobody has to say.
   */
  readonly identify?: (headers: IncomingHttpHeaders) => Promise<Caller>;
  /** Told of every request that was refused for who sent it or what is allowed: 401, 403, 429. */
  readonly onRefused?: (error: TonetapError, request: IncomingMessage) => void;
  /** ms that open requests get to end when the server closes. Default 2,000. */
  readonly closeGraceMs?: number;
  readonly clock?: Clock;
}

/** Sent with every answer. The page loads nothing from elsewhere and has no inline script or style. */
const SECURITY_HEADERS = {
  "content-security-policy":
    "default-src 'self'; img-src 'self' data:; media-src 'self' blob:; object-src 'none'; base-uri 'none'; " +
    "form-action 'none'; frame-ancestors 'none'",
  "cross-origin-opener-policy": "same-origin",
  "cross-origin-resource-policy": "same-origin",
  "permissions-policy": "microphone=(self), camera=(), geolocation=()",
  "referrer-policy": "no-referrer",
  "x-content-type-options": "nosniff",
} as const;

const NO_BODY = Buffer.alloc(0);

const REFUSALS: ReadonlyMap<number, ErrorCode> = new Map([
  [401, "unauthenticated"],
  [403, "policy"],
  [429, "overloaded"],
]);

const LIMITS = {
  maxHeaderSize: 16_384,
  headersTimeout: 10_000,
  requestTimeout: 30_000,
  keepAliveTimeout: 10_000,
} as const;
const TLS_LIMITS = { handshakeTimeout: 10_000, rejectUnauthorized: true } as const;

const contextOf = ({ cert, key, minVersion, clientCa }: TlsMaterial): SecureContextOptions => ({
  cert,
  key,
  minVersion,
  ...(clientCa === undefined ? {} : { ca: clientCa }),
});

/** `close()` takes no more requests, lets open ones end, cuts them off after the grace time. Close WebSockets first. */
export class HttpServer extends ClosesOnce {
  /** For WebSocket upgrades and for tests; it belongs to this object. */
  readonly server: Server;
  readonly #options: HttpServerOptions;
  readonly #clock: Clock;
  readonly #routes: Route[] = [];
  readonly #operations: AnyOperation[] = [];

  constructor(options: HttpServerOptions = {}) {
    super();
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    const onRequest = (request: IncomingMessage, response: ServerResponse): void => {
      this.#serve(request, response).catch((error: unknown) => {
        this.#options.onError?.(TonetapError.from(error));
        response.destroy();
      });
    };
    const { tls } = options;
    this.server =
      tls === undefined
        ? createServer(LIMITS, onRequest)
        : createTlsServer(
            { ...LIMITS, ...TLS_LIMITS, ...contextOf(tls), requestCert: tls.clientCa !== undefined },
            onRequest,
          );
    this.server.on("clientError", refuseNonsense);
  }

  /** Another certificate, for connections that come; those that are open stay. Whether clients must show one stays too. */
  renewTls(tls: TlsMaterial): void {
    if (this.server instanceof TlsServer) this.server.setSecureContext(contextOf(tls));
  }

  /**
   * Registers a handler. Patterns: `/calls/:id`, `/files/*`. The first one registered that fits a path wins, and one
   * that ends in `*` only where no other fits, whatever its method; HEAD is answered by GET; OPTIONS by itself, unless
   * there is a route for it.
   * @throws TonetapError invalid-argument for a pattern that could never match
   */
  route(method: HttpMethod, pattern: string, handler: HttpHandler, options: RouteOptions = {}): this {
    this.#routes.push({
      method,
      segments: parsePattern(pattern),
      handler,
      access: options.access ?? "admin",
      maxBodyBytes: options.maxBodyBytes ?? 65_536,
    });
    return this;
  }

  /**
   * Registers an operation: what does not fit its `query` and `body` is refused before the handler is asked.
   * @throws TonetapError as {@link route}
   */
  serve<Body, Query>(operation: Operation<Body, Query>, handler: OperationHandler<Body, Query>): this {
    const { method, path, access, maxBodyBytes } = operation;
    this.#operations.push(operation);
    return this.route(method, path, (request) => handler(inputOf(operation, request)), {
      access,
      ...(maxBodyBytes === undefined ? {} : { maxBodyBytes }),
    });
  }

  /** What is described of what is served. */
  get operations(): readonly AnyOperation[] {
    return this.#operations;
  }

  /** All that is served: `GET /v1/calls/:callId`. */
  get routes(): readonly string[] {
    return this.#routes.map(({ method, segments }) => `${method} /${segments.join("/")}`);
  }

  /** Serves the files of a folder below `prefix` (`/`, `/client/`). Register it after the routes it must not hide. */
  files(prefix: string, directory: string): this {
    return this.route("GET", `${prefix}*`, staticFiles(directory), { access: "public" });
  }

  /**
   * @returns where it listens: `http://127.0.0.1:8080/`, or https
   * @throws TonetapError conflict when the port is taken, unavailable when the address cannot be bound
   */
  listen(host: string, port: number): Promise<URL> {
    return new Promise((resolve, reject) => {
      const onError = (error: NodeJS.ErrnoException): void => {
        const taken = error.code === "EADDRINUSE";
        const message = taken
          ? `port ${port} is taken`
          : `cannot listen on ${host}:${port}: ${error.message}`;
        reject(new TonetapError(taken ? "conflict" : "unavailable", message, { cause: error }));
      };
      this.server.once("error", onError);
      this.server.listen(port, host, () => {
        this.server.off("error", onError);
        const { address, family, port: bound } = this.server.address() as AddressInfo;
        const scheme = this.#options.tls === undefined ? "http" : "https";
        resolve(new URL(`${scheme}://${family === "IPv6" ? `[${address}]` : address}:${bound}/`));
      });
    });
  }

  protected release(): Promise<void> {
    return new Promise((resolve) => {
      const cancel = this.#clock.schedule(this.#options.closeGraceMs ?? 2000, () =>
        this.server.closeAllConnections(),
      );
      // The callback's error says only that it never listened.
      this.server.close(() => {
        cancel();
        resolve();
      });
    });
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    let answer: HttpResponse;
    try {
      checkDoor(request, this.#options);
      answer = await this.#answer(request, response);
    } catch (thrown) {
      const error = TonetapError.from(thrown);
      if (error.code === "internal") this.#options.onError?.(error);
      answer = problemResponse(error);
    }
    this.#tellRefusal(answer, request);
    if (response.destroyed) return;
    const { status = 200, headers = {}, body = "", stream } = answer;
    if (stream !== undefined && request.method !== "HEAD") {
      response.writeHead(status, { ...SECURITY_HEADERS, ...this.#cors(request), ...headers });
      response.flushHeaders();
      stream(streamOf(response));
      return;
    }
    // RFC 9110 §8.6: no content-length with 204; 304 has no body whose length to tell.
    const length = status === 204 || status === 304 ? {} : { "content-length": Buffer.byteLength(body) };
    response.writeHead(status, { ...SECURITY_HEADERS, ...this.#cors(request), ...headers, ...length });
    response.end(body);
    // An unread rest of a body would keep the connection waiting.
    if (!request.complete) request.resume();
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<HttpResponse> {
    const { pathname, searchParams } = requestUrl(request);
    const method = request.method === "HEAD" ? "GET" : (request.method ?? "GET");
    const fitting: string[] = [];
    for (const route of this.#routes) {
      // The files of a folder are not asked for what is something else: GET of what takes POST is 405, not 404.
      if (fitting.length > 0 && route.segments.at(-1) === "*") continue;
      const params = matchRoute(route.segments, pathname);
      if (params === undefined) continue;
      fitting.push(route.method);
      if (route.method !== method) continue;
      const caller = await this.#callerOf(request, route);
      const body = await readBody(request, route.maxBodyBytes);
      if (body === undefined) {
        const error = new TonetapError(
          "invalid-argument",
          `a body here has at most ${route.maxBodyBytes} bytes`,
        );
        return withHeaders(problemResponse(error, 413), { connection: "close" });
      }
      const abort = new AbortController();
      response.once("close", () => {
        if (!response.writableFinished) abort.abort();
      });
      const { headers } = request;
      return route.handler({
        method,
        path: pathname,
        query: searchParams,
        params,
        headers,
        body,
        caller,
        signal: abort.signal,
      });
    }
    if (fitting.length === 0) throw new TonetapError("not-found", `nothing is at ${pathname}`);
    const allow = [...new Set([...fitting, ...(fitting.includes("GET") ? ["HEAD"] : []), "OPTIONS"])].join(
      ", ",
    );
    if (method === "OPTIONS") return { status: 204, headers: { allow } };
    const error = new TonetapError("invalid-argument", `${method} is not for ${pathname}`);
    return withHeaders(problemResponse(error, 405), { allow });
  }

  /** Whoever refused, a door behind a route too, said it in a problem document. */
  #tellRefusal({ status, body }: HttpResponse, request: IncomingMessage): void {
    const { onRefused } = this.#options;
    const code = status === undefined ? undefined : REFUSALS.get(status);
    if (onRefused === undefined || code === undefined || typeof body !== "string") return;
    const { detail = "" } = JSON.parse(body) as { readonly detail?: string };
    onRefused(new TonetapError(code, detail), request);
  }

  /** Who asks. @throws TonetapError as `identify`, and policy */
  async #callerOf(request: IncomingMessage, { access }: Route): Promise<Caller> {
    if (access === "public") return NOBODY;
    const caller = (await this.#options.identify?.(request.headers)) ?? ANYONE;
    if (!caller.may(access))
      throw new TonetapError("policy", `${caller.name} has no right to this: it needs ${access}`);
    return caller;
  }

  /** For pages of the allowed origins only; checkDoor() has turned others away. Fetch standard §3.2. */
  #cors(request: IncomingMessage): Record<string, string> {
    const { origin } = request.headers;
    if (origin === undefined || !isForeignOrigin(request)) return {};
    return {
      "access-control-allow-origin": origin,
      "access-control-allow-methods": "GET, POST, PUT, PATCH, DELETE",
      "access-control-allow-headers": "authorization, content-type, if-match",
      "access-control-expose-headers": "etag, link, location",
      "access-control-max-age": "600",
      "cross-origin-resource-policy": "cross-origin",
      vary: "Origin",
    };
  }
}

/** What is no HTTP at all, or too slow, is told so like everything else (RFC 9110 §15.5.1, §15.5.9, RFC 6585 §5). */
function refuseNonsense(error: NodeJS.ErrnoException, socket: Duplex): void {
  if (error.code === "ECONNRESET" || !socket.writable) {
    socket.destroy();
    return;
  }
  const [status, what]: readonly [number, string] =
    error.code === "HPE_HEADER_OVERFLOW"
      ? [431, "the header is too long"]
      : error.code === "ERR_HTTP_REQUEST_TIMEOUT"
        ? [408, "the request took too long"]
        : [400, "this is no HTTP request"];
  answerOn(socket, problemOf(new TonetapError("invalid-argument", what), status));
}

function streamOf(response: ServerResponse): HttpStream {
  return {
    get bufferedBytes() {
      return response.writableLength;
    },
    get closed() {
      return response.destroyed || response.writableEnded;
    },
    write: (data, sent) => void response.write(data, sent),
    end: () => void response.end(),
    destroy: () => void response.destroy(),
    onClose: (listener) => void response.once("close", listener),
  };
}

function withHeaders(response: HttpResponse, headers: Readonly<Record<string, string>>): HttpResponse {
  return { ...response, headers: { ...response.headers, ...headers } };
}

/**
 * The whole body, or undefined when it is longer than `maxBytes`.
 * @throws TonetapError closed when the client goes away in the middle
 */
function readBody(request: IncomingMessage, maxBytes: number): Promise<Buffer | undefined> {
  if (Number(request.headers["content-length"] ?? 0) > maxBytes) return Promise.resolve(undefined);
  // Not `for await`: leaving that loop early destroys the socket, and the 413 with it.
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let length = 0;
    request.on("data", (chunk: Buffer) => {
      length += chunk.length;
      if (length <= maxBytes) chunks.push(chunk);
      else {
        chunks.length = 0;
        resolve(undefined);
      }
    });
    request.once("end", () => resolve(length === 0 ? NO_BODY : Buffer.concat(chunks)));
    request.once("error", (error) =>
      reject(new TonetapError("closed", "the client went away", { cause: error })),
    );
  });
}
