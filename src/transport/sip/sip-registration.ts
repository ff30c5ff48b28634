/**
 * Tells a registrar where we are (RFC 3261 §10), again in time, and that we are gone when we close. Answers digest
 * challenges. What fails is tried again at growing pauses. Options are registration-options.ts.
 */
import { randomBytes, randomInt } from "node:crypto";
import type { Clock } from "../../core/clock.ts";
import { TonetapError } from "../../core/errors.ts";
import { ClosesOnce } from "../../core/lifecycle.ts";
import {
  type DigestChallenge,
  digestResponse,
  digestSecret,
  formatCredentials,
  parseChallenge,
} from "./digest.ts";
import { addressOf, type OutgoingRequests } from "./outgoing-requests.ts";
import type { RegistrationStatus, ResolvedRegistration } from "./registration-options.ts";
import type { SipPath } from "./server-transactions.ts";
import { deltaSeconds } from "./session-terms.ts";
import { parseNameAddr, splitList } from "./sip-header.ts";
import { asUtf8, fromUtf8, headerOf, headersOf, type SipRequest, type SipResponse } from "./sip-message.ts";
import type { SipOrigin } from "./sip-transport.ts";

/** Share of what is granted after which it is asked for again: there is time for two failures. */
const REFRESH_SHARE = 0.75;
/** Between failures, s: doubling from the first to the last. */
const FIRST_PAUSE_S = 5;
const LAST_PAUSE_S = 300;
/** Answers to one attempt that ask for another at once: a challenge, a stale nonce, a longer interval. */
const MAX_ROUNDS = 3;
/** Timers take 31 bits of ms. */
const LONGEST_S = 86_400;

export interface RegistrationContext {
  readonly clock: Clock;
  readonly outgoing: OutgoingRequests;
  /** Our Contact, for a peer there. */
  readonly contact: (to: SipOrigin) => string;
  /** Hears of an `onChange` that threw. */
  readonly onError: (error: TonetapError) => void;
}

/** A challenge that is answered until another comes. */
interface Answering {
  readonly challenge: DigestChallenge;
  /** `Authorization`, or what a proxy asks for. */
  readonly header: string;
  count: number;
}

export class SipRegistration extends ClosesOnce {
  readonly #options: ResolvedRegistration;
  readonly #context: RegistrationContext;
  readonly #to: SipOrigin;
  readonly #callId = randomBytes(12).toString("hex");
  readonly #tag = randomBytes(8).toString("hex");
  #status: RegistrationStatus = { state: "registering" };
  #path: SipPath | undefined;
  #cseq = 0;
  #expiresS: number;
  #answering: Answering | undefined;
  #failures = 0;
  /** Whether the registrar may know us. */
  #known = false;
  #cancelNext: (() => void) | undefined;
  #attempt: Promise<void>;

  /** Begins at once. */
  constructor(options: ResolvedRegistration, context: RegistrationContext) {
    super();
    this.#options = options;
    this.#context = context;
    this.#to = addressOf(options.registrar, "udp");
    this.#expiresS = options.expiresS;
    this.#attempt = this.#register();
  }

  get status(): RegistrationStatus {
    return this.#status;
  }

  /** Takes it back, if the registrar may know of it. Never rejects. */
  protected async release(): Promise<void> {
    this.#cancelNext?.();
    await this.#attempt;
    if (this.#known) await this.#ask(0).catch(() => undefined);
    this.#change({ state: "closed" });
  }

  async #register(): Promise<void> {
    const { pauseS, status } = await this.#attemptOnce();
    if (this.closing) return;
    this.#change(status);
    this.#cancelNext = this.#context.clock.schedule(1000 * Math.min(pauseS, LONGEST_S), () => {
      this.#attempt = this.#register();
    });
  }

  async #attemptOnce(): Promise<{ readonly pauseS: number; readonly status: RegistrationStatus }> {
    try {
      const response = await this.#ask(this.#expiresS);
      this.#known = true;
      this.#failures = 0;
      return {
        pauseS: Math.max(1, REFRESH_SHARE * this.#granted(response)),
        status: { state: "registered" },
      };
    } catch (error) {
      const { message, cause } = TonetapError.from(error);
      const pauseS = Math.max(this.#pauseS(), retryAfterS(cause));
      return { pauseS, status: { state: "failed", reason: message } };
    }
  }

  /** Doubling, and spread: after an outage not everybody comes at once. */
  #pauseS(): number {
    const pauseS = Math.min(LAST_PAUSE_S, FIRST_PAUSE_S * 2 ** this.#failures++);
    return pauseS * (1 + randomInt(250) / 1000);
  }

  /** @throws TonetapError with the response as its cause, if there was one */
  async #ask(expiresS: number): Promise<SipResponse> {
    for (let round = 1; ; round++) {
      const { response, path } = await this.#context.outgoing.ask({ to: this.#to, path: this.#path }, (via) =>
        this.#compose(via, expiresS),
      );
      this.#path = path;
      if (response === undefined)
        throw new TonetapError("timeout", `${this.#options.registrar.text} does not answer`);
      if (response.status < 300) return response;
      const again = round < MAX_ROUNDS && this.#learn(response);
      if (!again) throw this.#refused(response);
      // RFC 3261 §10.2.8: what we learnt may be that it must last longer. Taking it back lasts no time at all.
      if (expiresS > 0) expiresS = this.#expiresS;
    }
  }

  #refused(response: SipResponse): TonetapError {
    const { status, reason } = response;
    const needed = status === 401 || status === 407;
    const detail = needed && this.#options.password === undefined ? "a password is needed" : reason;
    return new TonetapError("unavailable", `${this.#options.registrar.text} answers ${status} ${detail}`, {
      cause: response,
    });
  }

  /** Whether asking again, with what this answer says, may help. */
  #learn(response: SipResponse): boolean {
    const { status } = response;
    if (status === 423) {
      const least = deltaSeconds(headerOf(response, "Min-Expires") ?? "") ?? 0;
      const longer = least > this.#expiresS && least <= LONGEST_S;
      if (longer) this.#expiresS = least;
      return longer;
    }
    if ((status !== 401 && status !== 407) || this.#options.password === undefined) return false;
    const proxy = status === 407;
    const challenge = headersOf(response, proxy ? "Proxy-Authenticate" : "WWW-Authenticate")
      .map(parseChallenge)
      .find((candidate) => candidate !== undefined);
    if (challenge === undefined) return false;
    this.#answering = { challenge, header: proxy ? "Proxy-Authorization" : "Authorization", count: 0 };
    return true;
  }

  #compose(via: string, expiresS: number): SipRequest {
    const { addressOfRecord, registrar } = this.#options;
    const aor = addressOfRecord.text;
    // RFC 3261 §10.2: the Request-URI names a domain, without a user.
    const uri = registrar.text.replace(/^([^:]+:)[^@]*@/, "$1");
    const headers = [
      { name: "Via", value: via },
      { name: "Max-Forwards", value: "70" },
      { name: "From", value: `<${aor}>;tag=${this.#tag}` },
      { name: "To", value: `<${aor}>` },
      { name: "Call-ID", value: this.#callId },
      { name: "CSeq", value: `${++this.#cseq} REGISTER` },
      { name: "Contact", value: this.#context.contact(this.#to) },
      { name: "Expires", value: String(expiresS) },
      ...this.#credentials(uri),
    ];
    return { kind: "request", method: "REGISTER", uri, headers, body: new Uint8Array(0) };
  }

  #credentials(uri: string): { readonly name: string; readonly value: string }[] {
    const { username, password } = this.#options;
    const answering = this.#answering;
    if (answering === undefined || password === undefined) return [];
    const { realm, nonce, algorithm, opaque } = answering.challenge;
    const nc = (++answering.count).toString(16).padStart(8, "0");
    const asked = { nonce, nc, cnonce: randomBytes(8).toString("hex"), uri };
    const secret = digestSecret(algorithm, username, asUtf8(realm), password);
    const response = digestResponse(algorithm, secret, "REGISTER", asked);
    const said = { ...asked, username: fromUtf8(username), realm, algorithm, qop: "auth", response };
    return [{ name: answering.header, value: formatCredentials(said, opaque) }];
  }

  /** RFC 3261 §10.2.4: at our Contact among all that are bound, else for all of them. */
  #granted(response: SipResponse): number {
    const ours = parseNameAddr(this.#context.contact(this.#to))?.uri;
    const bound = (splitList(headersOf(response, "Contact")) ?? []).map(parseNameAddr);
    const contact = bound.find((entry) => entry?.uri.host === ours?.host && entry?.uri.port === ours?.port);
    const text = contact?.params.get("expires") ?? headerOf(response, "Expires") ?? "";
    return deltaSeconds(text) ?? this.#expiresS;
  }

  #change(status: RegistrationStatus): void {
    const news = status.state !== this.#status.state || status.reason !== this.#status.reason;
    this.#status = status;
    if (!news) return;
    try {
      this.#options.onChange(status);
    } catch (error) {
      this.#context.onError(TonetapError.from(error));
    }
  }
}

function retryAfterS(cause: unknown): number {
  const response = cause as SipResponse | undefined;
  return response?.kind === "response" ? (deltaSeconds(headerOf(response, "Retry-After") ?? "") ?? 0) : 0;
}
