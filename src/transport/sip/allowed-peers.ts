/** Which hosts may send SIP requests: addresses and prefixes, IPv4 and IPv6. */
import { BlockList, isIP } from "node:net";
import { TonetapError } from "../../core/errors.ts";

export class AllowedPeers {
  /** Undefined: everybody. */
  readonly #list: BlockList | undefined;

  /**
   * @param peers such as `192.0.2.7`, `192.0.2.0/24`, `2001:db8::/32`; none: everybody.
   * @throws TonetapError invalid-argument for what is neither
   */
  constructor(peers: readonly string[]) {
    if (peers.length === 0) return;
    const list = new BlockList();
    for (const peer of peers) {
      const [address = "", prefix, ...rest] = peer.split("/");
      const version = isIP(address);
      const bits = version === 6 ? 128 : 32;
      const length = prefix === undefined ? bits : /^[0-9]{1,3}$/.test(prefix) ? Number(prefix) : -1;
      if (version === 0 || rest.length > 0 || length < 0 || length > bits) {
        throw new TonetapError(
          "invalid-argument",
          `sip allowedPeers must be IP addresses or prefixes such as 192.0.2.0/24, got ${JSON.stringify(peer)}`,
        );
      }
      list.addSubnet(address, length, version === 6 ? "ipv6" : "ipv4");
    }
    this.#list = list;
  }

  has(host: string): boolean {
    return this.#list?.check(host, isIP(host) === 6 ? "ipv6" : "ipv4") ?? true;
  }
}
