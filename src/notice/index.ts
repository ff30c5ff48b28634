/** Telling people that they are analysed, and the proof of it. */
export * from "./notice-giving.ts";
export * from "./notice-proof.ts";
export { type NoticeWebhookOptions, noticeWebhook } from "./notice-webhook.ts";
