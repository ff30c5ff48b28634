/** Files of a folder over HTTP: the dashboard and the client. Revalidated by ETag, never outside the folder. */
import { readFile, stat } from "node:fs/promises";
import { extname, join, resolve, sep } from "node:path";
import { TonetapError } from "../core/errors.ts";
import type { HttpHandler, HttpRequest, HttpResponse } from "./http-route.ts";

const CONTENT_TYPES: Readonly<Record<string, string>> = {
  ".html": "text/html; charset=utf-8",
  ".css": "text/css; charset=utf-8",
  ".js": "text/javascript; charset=utf-8",
  ".mjs": "text/javascript; charset=utf-8",
  ".json": "application/json",
  ".map": "application/json",
  ".webmanifest": "application/manifest+json",
  ".svg": "image/svg+xml",
  ".png": "image/png",
  ".jpg": "image/jpeg",
  ".ico": "image/x-icon",
  ".woff2": "font/woff2",
  ".wasm": "application/wasm",
  ".opus": "audio/ogg",
  ".ogg": "audio/ogg",
  ".wav": "audio/wav",
  ".md": "text/markdown; charset=utf-8",
  ".txt": "text/plain; charset=utf-8",
};

/**
 * A handler for a pattern that ends in `/*`. A path that ends in `/` means its `index.html`. Files of unknown type and
 * names that begin with a dot are not there.
 */
export function staticFiles(directory: string): HttpHandler {
  const root = resolve(directory);
  return async (request) => serve(pathWithin(root, request.params["*"] ?? ""), request);
}

function pathWithin(root: string, relative: string): string {
  const names = (relative === "" || relative.endsWith("/") ? `${relative}index.html` : relative).split("/");
  // `..` begins with a dot too; a backslash separates on Windows; NUL ends a C string.
  if (names.some((name) => name === "" || name.startsWith(".") || /[\\\0:]/.test(name))) return notThere();
  const path = join(root, ...names);
  return path.startsWith(root + sep) ? path : notThere();
}

async function serve(path: string, request: HttpRequest): Promise<HttpResponse> {
  const contentType = CONTENT_TYPES[extname(path)];
  const info = contentType === undefined ? undefined : await stat(path).catch(() => undefined);
  if (contentType === undefined || info === undefined || !info.isFile()) return notThere();
  const etag = `"${info.size.toString(36)}-${Math.floor(info.mtimeMs).toString(36)}"`;
  const headers = { "content-type": contentType, etag, "cache-control": "no-cache" };
  if (request.headers["if-none-match"] === etag) return { status: 304, headers };
  return { headers, body: await readFile(path) };
}

function notThere(): never {
  throw new TonetapError("not-found", "there is no such file");
}
