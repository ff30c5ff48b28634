/** Asks for notices by HTTP: one signed POST, whose answer is the proof. When and how often is notice-giving.ts. */
import type { Clock } from "../core/clock.ts";
import { TonetapError } from "../core/errors.ts";
import { signWebhook } from "../events/index.ts";
import type { NoticeAnswer, NoticeHook } from "./notice-giving.ts";

export interface NoticeWebhookOptions {
  readonly url: URL;
  /** From parseSecret(). */
  readonly keys: readonly Uint8Array[];
  readonly clock: Clock;
}

/** A proof is short; what is longer is none. */
const MAX_ANSWER_BYTES = 16_384;

/**
 * 200 with the proof as JSON; 202: it will be confirmed over REST. 408, 425, 429 and 5xx are asked again, others not.
 * Signed as webhooks are (Standard Webhooks 1.0); `webhook-id` is the same in each attempt.
 */
export function noticeWebhook({ url, keys, clock }: NoticeWebhookOptions): NoticeHook {
  return async (request, signal) => {
    const timestampS = Math.floor(clock.wall() / 1000);
    const timestamp = new Date(clock.wall()).toISOString();
    const body = Buffer.from(JSON.stringify({ type: "tonetap.notice.requested", timestamp, data: request }));
    const response = await fetch(url, {
      method: "POST",
      body,
      // A redirect would let it choose whom we call.
      redirect: "manual",
      signal,
      headers: {
        "content-type": "application/json",
        "webhook-id": request.id,
        "webhook-timestamp": String(timestampS),
        "webhook-signature": signWebhook(keys, request.id, timestampS, body),
      },
    });
    if (response.status === 200) return readAnswer(response);
    await response.body?.cancel();
    if (response.status === 202) return undefined;
    throw refusalOf(response.status);
  };
}

function refusalOf(status: number): TonetapError {
  const message = `the notice hook answered ${status}`;
  const worthAnother = status === 408 || status === 425 || status === 429 || status >= 500;
  return new TonetapError(worthAnother ? "unavailable" : "policy", message);
}

/** What it says is checked by who gets it. @throws TonetapError protocol */
async function readAnswer(response: Response): Promise<NoticeAnswer> {
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of response.body ?? []) {
    bytes += chunk.byteLength;
    if (bytes > MAX_ANSWER_BYTES) {
      throw new TonetapError("protocol", `the notice hook answered more than ${MAX_ANSWER_BYTES} bytes`);
    }
    chunks.push(chunk);
  }
  try {
    return JSON.parse(Buffer.concat(chunks).toString()) as NoticeAnswer;
  } catch (error) {
    throw new TonetapError("protocol", "the notice hook answered 200 without a proof in JSON", {
      cause: error,
    });
  }
}
