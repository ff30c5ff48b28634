/** Options of HTTP, WebSocket and TLS, part of config.ts. Serving is service.ts, certificates tls-files.ts. */
import { z } from "zod";
import { list, section, text, whole } from "./config-fields.ts";

export const serviceSection = section("HTTP and WebSocket", {
  host: text("127.0.0.1", "Address that HTTP and WebSocket listen on."),
  port: whole(0, 65_535, 8080, "TCP port of HTTP and WebSocket; 0 takes a free one."),
  allowedHosts: list("Host headers accepted besides the address itself (a browser guard, not a login)."),
  allowedOrigins: list("Origins of web pages that may subscribe or publish, besides the service's own."),
  maxSubscribers: whole(1, 100_000, 1_000, "WebSocket subscribers at once; one more is refused."),
  maxParticipants: whole(1, 100_000, 2_000, "Participants at once, over all calls; one more is refused."),
  tlsCertFile: text(
    "",
    "PEM file with the certificate, and what leads to it, for https and wss; none: in the clear. Read again when it changes.",
  ),
  tlsKeyFile: text("", "PEM file with that certificate's key, without a passphrase."),
  tlsClientCaFile: text(
    "",
    "PEM file of authorities: every client must show a certificate that one of them signed; none: nobody must.",
  ),
  tlsMinVersion: z
    .enum(["TLSv1.2", "TLSv1.3"])
    .default("TLSv1.2")
    .describe("Oldest version of TLS that is spoken."),
})
  .refine(({ tlsCertFile, tlsKeyFile }) => (tlsCertFile === "") === (tlsKeyFile === ""), {
    path: ["tlsKeyFile"],
    message: "and service.tlsCertFile need each other",
  })
  .refine(({ tlsCertFile, tlsClientCaFile }) => tlsClientCaFile === "" || tlsCertFile !== "", {
    path: ["tlsClientCaFile"],
    message: "needs service.tlsCertFile",
  });
