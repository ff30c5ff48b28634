/** Requests to the service, with the key if there is one. Where the key is kept is key.js. */
import { knownKey } from "./key.js";

/** @param {string} path @returns {Promise<Response>} */
export function request(path) {
  const key = knownKey();
  return fetch(path, key === undefined ? {} : { headers: { Authorization: `Bearer ${key}` } });
}
