/** Files of a folder over HTTP: the dashboard and the client. Revalidated by ETag, never outside the folder. */
import { readFile, stat } from "node:fs/promises";
import * as nodeModule from "node:module";
import { extname, join, resolve, sep } from "node:path";
import { TonetapError } from "../core/errors.ts";
import type { HttpHandler, HttpRequest, HttpResponse } from "./http-route.ts";

const CONTENT_TYPES: Readonly<Record<string, string>> = {
  ".html": "text/html; charset=utf-8",
  ".css": "text/css; charset=utf-8",
  ".js": "text/javascript; charset=utf-8",
  ".mjs": "text/javascript; charset=utf-8",
  ".ts": "text/javascript; charset=utf-8",
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
 *
 * In a source checkout the browser client is still TypeScript: `x.js` is then served from `x.ts` with its types
 * stripped, so that the page needs no build step. The published package has the `.js` itself.
 */
export function staticFiles(directory: string): HttpHandler {
  const root = resolve(directory);
  return async (request) => {
    const path = pathWithin(root, request.params["*"] ?? "");
    return (
      (await serve(path, request)) ??
      (path.endsWith(".js") ? await serve(`${path.slice(0, -3)}.ts`, request) : undefined) ??
      notThere()
    );
  };
}

function pathWithin(root: string, relative: string): string {
  const names = (relative === "" || relative.endsWith("/") ? `${relative}index.html` : relative).split("/");
  // `..` begins with a dot too; a backslash separates on Windows; NUL ends a C string.
  if (names.some((name) => name === "" || name.startsWith(".") || /[\\\0:]/.test(name))) return notThere();
  const path = join(root, ...names);
  return path.startsWith(root + sep) ? path : notThere();
}

async function serve(path: string, request: HttpRequest): Promise<HttpResponse | undefined> {
  const contentType = CONTENT_TYPES[extname(path)];
  const info = contentType === undefined ? undefined : await stat(path).catch(() => undefined);
  if (contentType === undefined || info === undefined || !info.isFile()) return undefined;
  const etag = `"${info.size.toString(36)}-${Math.floor(info.mtimeMs).toString(36)}"`;
  const headers = { "content-type": contentType, etag, "cache-control": "no-cache" };
  if (request.headers["if-none-match"] === etag) return { status: 304, headers };
  const body = await readFile(path);
  return { headers, body: path.endsWith(".ts") ? nodeModule.stripTypeScriptTypes(body.toString()) : body };
}

function notThere(): never {
  throw new TonetapError("not-found", "there is no such file");
}
