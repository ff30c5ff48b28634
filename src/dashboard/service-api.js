/** Requests to the service, with the key if there is one. Where the key is kept is key.js. */
import { knownKey } from "./key.js";

/** @param {string} path @param {RequestInit} [init] without headers @returns {Promise<Response>} */
export function request(path, init = {}) {
  const key = knownKey();
  return fetch(path, key === undefined ? init : { ...init, headers: { Authorization: `Bearer ${key}` } });
}

/**
 * @param {string} callId @param {string} participantId @param {"granted" | "withdrawn"} consent
 * @throws Error with the service's reason (RFC 9457)
 */
export async function setConsent(callId, participantId, consent) {
  const path = `v1/calls/${encodeURIComponent(callId)}/participants/${encodeURIComponent(participantId)}`;
  const response = await request(path, { method: "PATCH", body: JSON.stringify({ consent }) });
  if (response.ok) return;
  const { detail } = await response.json().catch(() => ({ detail: undefined }));
  throw new Error(detail ?? `the service answers ${response.status}`);
}
