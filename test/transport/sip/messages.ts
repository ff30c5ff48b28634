/** Messages for tests: lines put together, and requests with everything that they need. */

/** A message of these lines; Content-Length is added if `headers` do not have it. */
export function message(start: string, ...rest: (string | string[])[]): string {
  const body = typeof rest.at(-1) === "string" ? String(rest.pop()) : "";
  const headers = rest.flat();
  const length = headers.some((line) => /^(?:l|content-length)\s*:/i.test(line))
    ? []
    : [`Content-Length: ${Buffer.byteLength(body)}`];
  return `${[start, ...headers, ...length].join("\r\n")}\r\n\r\n${body}`;
}

/** An offer of one audio section. */
export function offer(
  lines: Partial<{ host: string; port: number; media: string; extra: string[] }> = {},
): string {
  const { host = "127.0.0.1", port = 40_000, media = "RTP/AVP 0 8 101", extra = [] } = lines;
  return [
    "v=0",
    `o=- 1 1 IN IP${host.includes(":") ? 6 : 4} ${host}`,
    "s=-",
    `c=IN IP${host.includes(":") ? 6 : 4} ${host}`,
    "t=0 0",
    `m=audio ${port} ${media}`,
    "a=rtpmap:101 telephone-event/8000",
    ...extra,
    "",
  ].join("\r\n");
}
