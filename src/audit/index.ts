/** The public door of audit/. */
export { AuditLog, type AuditLogOptions, type AuditSummary, verifyAuditLog } from "./audit-log.ts";
export { recordCalls } from "./record-calls.ts";
export { type Refusal, Refusals } from "./refusals.ts";
