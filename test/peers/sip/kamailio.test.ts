/**
 * Kamailio between the caller and Tonetap: as docs/sip.md has it, over UDP and from UDP to TCP, with calls of sipp; and as a
 * registrar.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as wait } from "node:timers/promises";
import { afterEach, describe, expect, test } from "vitest";
import { createSipServer, type SipCallInfo } from "../../../src/transport/sip/index.ts";
import { callScenario, refusedScenario, runSipp } from "../../support/sipp.ts";
import { hasPeer } from "../../support/system-peers.ts";
import { eventually } from "../../transport/loopback.ts";

const beginning = (port: number): string => `#!KAMAILIO
listen=udp:127.0.0.1:${port}
listen=tcp:127.0.0.1:${port}
children=2
debug=-1
log_stderror=yes
loadmodule "tm.so"
loadmodule "sl.so"
loadmodule "rr.so"
loadmodule "pv.so"
loadmodule "maxfwd.so"
loadmodule "textops.so"
loadmodule "siputils.so"
`;

/** A proxy in front of us. @param target where INVITEs go, as a URI. */
const proxyTo =
  (target: string) =>
  (port: number): string =>
    `${beginning(port)}
request_route {
    if (!mf_process_maxfwd_header("10")) { sl_send_reply("483", "Too Many Hops"); exit; }
    if (has_totag()) { loose_route(); t_relay(); exit; }
    if (is_method("INVITE")) {
        record_route();
        remove_hf_re("^X-Tonetap-");
        append_hf("X-Tonetap-Role: customer\\r\\n");
        append_hf("X-Tonetap-Consent: granted\\r\\n");
    }
    $du = "${target}";
    t_relay();
}
`;

/** A registrar that asks for a password, and sends calls to whoever is registered. */
const registrar =
  (algorithm: string) =>
  (port: number): string =>
    `${beginning(port)}
loadmodule "usrloc.so"
loadmodule "registrar.so"
loadmodule "auth.so"
modparam("auth", "algorithm", "${algorithm}")
modparam("auth", "nonce_expire", 300)
request_route {
    if (!mf_process_maxfwd_header("10")) { sl_send_reply("483", "Too Many Hops"); exit; }
    if (is_method("REGISTER")) {
        if (!pv_www_authenticate("pbx", "s3cret", "0")) { www_challenge("pbx", "1"); exit; }
        save("location");
        exit;
    }
    if (has_totag()) { loose_route(); t_relay(); exit; }
    if (is_method("INVITE")) {
        record_route();
        if (!lookup("location")) { sl_send_reply("404", "Not Found"); exit; }
    }
    t_relay();
}
`;

const cleanUps: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const cleanUp of cleanUps.splice(0).reverse()) await cleanUp();
});

async function startKamailio(config: (port: number) => string): Promise<number> {
  const folder = await mkdtemp(join(tmpdir(), "tonetap-kamailio-"));
  cleanUps.push(() => rm(folder, { recursive: true, force: true }));
  const probe = createServer().listen(0, "127.0.0.1");
  await once(probe, "listening");
  const address = probe.address();
  const port = typeof address === "object" ? (address?.port ?? 0) : 0;
  await new Promise((resolve) => probe.close(resolve));
  await writeFile(join(folder, "kamailio.cfg"), config(port));
  const child: ChildProcess = spawn(
    "kamailio",
    ["-f", join(folder, "kamailio.cfg"), "-DD", "-E", "-m", "32", "-M", "4", "-w", folder, "-Y", folder],
    { stdio: ["ignore", "ignore", "inherit"] },
  );
  cleanUps.push(async () => {
    const exited = once(child, "exit");
    child.kill("SIGTERM");
    await exited;
  });
  await answering(port);
  return port;
}

/** Waits until something at this UDP port answers an OPTIONS that may go no further: 483. */
async function answering(port: number): Promise<void> {
  const socket = createSocket("udp4");
  let heard = false;
  socket.on("message", () => {
    heard = true;
  });
  // Until it listens, the system says that nobody does.
  socket.on("error", () => undefined);
  const ping = [
    `OPTIONS sip:127.0.0.1:${port} SIP/2.0`,
    "Via: SIP/2.0/UDP 127.0.0.1;branch=z9hG4bKping;rport",
    "Max-Forwards: 0",
    "From: <sip:test@127.0.0.1>;tag=1",
    "To: <sip:kamailio@127.0.0.1>",
    "Call-ID: ping",
    "CSeq: 1 OPTIONS",
    "Content-Length: 0",
  ];
  for (let i = 0; i < 600 && !heard; i++) {
    socket.send(`${ping.join("\r\n")}\r\n\r\n`, port, "127.0.0.1");
    await wait(100);
  }
  socket.close();
  expect(heard, "Kamailio did not come up").toBe(true);
}

describe.skipIf(!hasPeer("kamailio") || !hasPeer("sipp"))("with Kamailio in between", () => {
  test.each([
    ["udp", ""],
    ["tcp", ";transport=tcp"],
  ])(
    "5 calls arrive over %s with the proxy's own headers, and either side's BYE ends one",
    async (transport, param) => {
      const calls: SipCallInfo[] = [];
      let hangUp = false;
      let completed = 0;
      const server = await createSipServer({
        port: 0,
        onCall: (source, call) => {
          calls.push(call);
          source.packets.subscribe({ complete: () => completed++ });
          if (hangUp) setTimeout(() => void source.close(), 200);
        },
      });
      cleanUps.push(() => server.close());
      const port = await startKamailio(proxyTo(`sip:127.0.0.1:${server.addresses.get("udp")?.port}${param}`));

      const forged = ["X-Tonetap-Consent: withdrawn", "X-Tonetap-Role: agent"];
      const theirs = await runSipp({
        scenario: callScenario({ lengthMs: 300, headers: forged }),
        transport: "u1",
        port,
        calls: 5,
      });
      hangUp = true;
      const ours = await runSipp({ scenario: callScenario({ lengthMs: "hung-up" }), transport: "u1", port });

      expect([theirs.code, ours.code], theirs.log + ours.log).toEqual([0, 0]);
      expect(calls).toHaveLength(6);
      for (const { participant, origin } of calls) {
        expect(participant).toMatchObject({ role: "customer", consent: "granted" });
        expect(origin.transport).toBe(transport);
      }
      await eventually(() => completed === 6 && server.callCount === 0);
      expect(server.stats).toMatchObject({ refused: 0, defects: 0, unsent: 0 });
    },
  );

  test.each([
    ["MD5", ""],
    ["SHA-256", ";transport=tcp"],
  ])(
    "registered with a password by %s, 3 calls find their way here; after close() there is nobody (404)",
    async (algorithm, param) => {
      const port = await startKamailio(registrar(algorithm));
      let calls = 0;
      const changes: string[] = [];
      const server = await createSipServer({
        port: 0,
        onCall: (source) => {
          calls++;
          source.packets.subscribe();
        },
        register: {
          addressOfRecord: `sip:tonetap@127.0.0.1:${port}`,
          registrar: `sip:127.0.0.1:${port}${param}`,
          password: "s3cret",
          onChange: ({ state, reason = "" }) => changes.push(state + reason),
        },
      });
      cleanUps.push(() => server.close());
      await eventually(() => changes.length === 1);
      expect(changes).toEqual(["registered"]);

      const { code, log } = await runSipp({
        scenario: callScenario({ lengthMs: 200 }),
        transport: "u1",
        port,
        calls: 3,
      });
      expect(code, log).toBe(0);
      expect(calls).toBe(3);

      await server.close();
      expect(server.held).toEqual({ calls: 0, transactions: 0, connections: 0, rtpPorts: 0 });
      const after = await runSipp({ scenario: refusedScenario(404, "RTP/AVP 0"), transport: "u1", port });
      expect(after.code, after.log).toBe(0);
    },
  );

  test("a wrong password is told by the registrar: failed, and 0 calls come", async () => {
    const port = await startKamailio(registrar("MD5"));
    const { promise, resolve } = Promise.withResolvers<string>();
    const server = await createSipServer({
      port: 0,
      onCall: () => undefined,
      register: {
        addressOfRecord: `sip:tonetap@127.0.0.1:${port}`,
        password: "guess",
        onChange: ({ state, reason = "" }) => resolve(`${state}: ${reason}`),
      },
    });
    cleanUps.push(() => server.close());
    expect(await promise).toMatch(/^failed: .* answers 401 Unauthorized$/);
    const refused = await runSipp({ scenario: refusedScenario(404, "RTP/AVP 0"), transport: "u1", port });
    expect(refused.code, refused.log).toBe(0);
  });
});
