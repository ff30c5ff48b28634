/** Who tells people that they are analysed: a program's hook, or what the configuration says. Asking is notice/. */
import type { Config } from "./config.ts";
import type { Clock } from "./core/clock.ts";
import { parseSecret } from "./events/index.ts";
import { type NoticeHook, type NoticeTerms, noticeWebhook } from "./notice/index.ts";

/**
 * @param own a program's; it goes before the configuration's
 * @returns undefined: nobody does
 * @throws TonetapError invalid-argument for a secret that is none
 */
export function noticeTerms(
  { notice, policy }: Config,
  clock: Clock,
  own: NoticeHook | undefined,
): NoticeTerms | undefined {
  const hook = own ?? configuredHook(notice, clock);
  if (hook === undefined) return undefined;
  const { timeoutMs, maxAttempts, firstRetryMs } = notice;
  return { hook, required: policy === "eu", timeoutMs, maxAttempts, firstRetryMs };
}

function configuredHook({ mode, url, secrets }: Config["notice"], clock: Clock): NoticeHook | undefined {
  switch (mode) {
    case "off":
      return undefined;
    case "api":
      return () => Promise.resolve(undefined);
    case "webhook":
      return noticeWebhook({ url: new URL(url), keys: secrets.map(parseSecret), clock });
    default:
      return mode satisfies never;
  }
}
