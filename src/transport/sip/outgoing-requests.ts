/** Requests of ours, which are BYEs: where each goes, and who waits for its answer. */
import { randomBytes } from "node:crypto";
import type { Clock } from "../../core/clock.ts";
import { ClientTransaction } from "./client-transaction.ts";
import type { SipPath } from "./server-transactions.ts";
import type { Heard } from "./sip-call.ts";
import type { SipDialog } from "./sip-dialog.ts";
import { parseCSeq, parseVia, splitList } from "./sip-header.ts";
import { headerOf, headersOf, type SipResponse, serializeSip } from "./sip-message.ts";
import type { SipOrigin, SipTransport, SipTransportName } from "./sip-transport.ts";
import { bracketed } from "./sip-uri.ts";

const DEFAULT_PORT = 5060;
const DEFAULT_TLS_PORT = 5061;

export interface OutgoingOptions {
  readonly clock: Clock;
  readonly transport: SipTransport;
  /** Our address, as peers of this transport see it. */
  readonly announced: (transport: SipTransportName) => { readonly host: string; readonly port: number };
}

export class OutgoingRequests {
  readonly #options: OutgoingOptions;
  /** By branch. */
  readonly #waiting = new Map<string, ClientTransaction>();

  constructor(options: OutgoingOptions) {
    this.#options = options;
  }

  /** Requests without an answer. */
  get size(): number {
    return this.#waiting.size;
  }

  /** Ends a dialog; resolves when that is answered or given up. Never rejects. */
  async sayBye(dialog: SipDialog, last: Heard): Promise<void> {
    const { clock, transport, announced } = this.#options;
    // A stream that is still there leads to the peer; datagrams go where the dialog says.
    const reuse = last.path.reliable && last.path.alive;
    const to = reuse ? last.origin : nextAddress(dialog, last);
    let path: SipPath;
    try {
      path = reuse ? last.path : await transport.pathTo(to);
    } catch {
      // Whoever cannot be reached any more need not be told.
      transport.stats.unsent++;
      return;
    }
    const { host, port } = announced(to.transport);
    const branch = `z9hG4bK${randomBytes(10).toString("hex")}`;
    const via = `SIP/2.0/${to.transport.toUpperCase()} ${bracketed(host)}:${port};branch=${branch};rport`;
    const message = serializeSip(dialog.createRequest("BYE", via));
    await new Promise<void>((resolve) => {
      const onEnd = (): void => {
        this.#waiting.delete(branch);
        resolve();
      };
      this.#waiting.set(branch, new ClientTransaction({ clock, path, message, onEnd }));
    });
  }

  /** RFC 3261 §17.1.3: an answer bears our branch and method. */
  receive(response: SipResponse): void {
    const via = parseVia(splitList(headersOf(response, "Via"))?.[0] ?? "");
    const method = parseCSeq(headerOf(response, "CSeq") ?? "")?.method;
    if (method === "BYE") this.#waiting.get(via?.params.get("branch") ?? "")?.receive(response.status);
  }

  /** Waits for no answer any more. */
  close(): void {
    for (const transaction of [...this.#waiting.values()]) transaction.close();
  }
}

/** Where a request within a dialog goes first. No DNS but for addresses of host names: no SRV, no NAPTR. */
function nextAddress(dialog: SipDialog, last: Heard): SipOrigin {
  const { nextHop } = dialog;
  const { via } = last.request;
  // The peer is its own contact and its address was translated on the way: it can only be reached where it came from.
  const translated = !dialog.hasRoute && nextHop.host === via.host && via.host !== last.origin.host;
  if (nextHop.host === "" || translated) return last.origin;
  const named = nextHop.scheme === "sips" ? "tls" : nextHop.params.get("transport")?.toLowerCase();
  const transport = named === "udp" || named === "tcp" || named === "tls" ? named : last.origin.transport;
  const port = nextHop.port ?? (transport === "tls" ? DEFAULT_TLS_PORT : DEFAULT_PORT);
  return { transport, host: nextHop.host, port };
}
