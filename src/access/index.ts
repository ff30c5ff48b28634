/** The public door of access/. */
export { ApiKeys, createKey, type NewKey } from "./api-keys.ts";
export { Authority, type AuthorityOptions, admitted, tokenOf } from "./authority.ts";
export { Grant, parseScope, type Scope } from "./grant.ts";
