/** Plays a leg of the call: by sipp where it is installed, else by a telephone of thirty lines that knows this one call. */
import { spawn, spawnSync } from "node:child_process";
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { createRtpSender, PCMU } from "tonetap";

export interface Address {
  readonly host: string;
  readonly port: number;
}

export type Leg = "customer" | "agent";

const HERE = fileURLToPath(new URL(".", import.meta.url));
const SAMPLES_A_FRAME = 160;

const hasSipp = spawnSync("sipp", ["-v"], { encoding: "utf8" }).stdout?.includes("SIPp") === true;
if (!hasSipp) {
  console.warn(
    "*** sipp is not installed (Debian: apt-get install sip-tester). A telephone of this example's own calls instead: it\n" +
      "*** sends the same header fields and the same voice, and proves less.",
  );
}

export interface Played {
  /** It went as its scenario says: the customer was heard to the end, the agent was refused with 403. */
  readonly asPlanned: boolean;
  /** How it ended, in words. */
  readonly text: string;
}

export const play = (leg: Leg, to: Address, signal: AbortSignal): Promise<Played> =>
  hasSipp ? playBySipp(leg, to, signal) : playByOurselves(leg, to, signal);

async function playBySipp(leg: Leg, to: Address, signal: AbortSignal): Promise<Played> {
  const args = ["-sf", `${leg}.xml`, "-t", "u1", "-i", "127.0.0.1", "-mi", "127.0.0.1", "-m", "1"];
  const sipp = spawn("sipp", [...args, "-nostdin", "-timeout", "60s", `${to.host}:${to.port}`], {
    cwd: HERE,
    stdio: "ignore",
    signal,
    killSignal: "SIGUSR1",
  });
  // Aborted: that is how it ended.
  sipp.on("error", () => undefined);
  const [code] = (await once(sipp, "close")) as [number | null];
  return { asPlanned: code === 0, text: `sipp ended with ${code}` };
}

async function playByOurselves(leg: Leg, to: Address, signal: AbortSignal): Promise<Played> {
  const scenario = await readFile(new URL(`${leg}.xml`, import.meta.url), "utf8");
  const socket = createSocket("udp4").bind(0, "127.0.0.1");
  await once(socket, "listening");
  const { port } = socket.address();
  const values: Readonly<Record<string, string>> = {
    remote_ip: to.host,
    remote_port: String(to.port),
    local_ip: "127.0.0.1",
    local_port: String(port),
    media_ip: "127.0.0.1",
    local_ip_type: "4",
    media_ip_type: "4",
    transport: "UDP",
    call_id: `call-${Date.now()}-${port}@127.0.0.1`,
    call_number: "1",
    pid: String(process.pid),
    routes: "",
    media_port: String(port),
    rtpstream_audio_port: String(port),
  };
  const [invite = "", ack = "", bye] = [...scenario.matchAll(/CDATA\[\s+([\s\S]*?)\s*\]\]>/g)].map(
    ([, text = ""]) => text,
  );
  let steps = 0;
  /** Sends a message of the scenario; `answer` is what it answers to. */
  const send = (text: string, answer = ""): void => {
    const [head = "", body = ""] = text
      .replaceAll("[branch]", `z9hG4bK-${port}-${steps++}`)
      .replaceAll("[peer_tag_param]", /^To:.*?(;tag=[^\s;]+)/im.exec(answer)?.[1] ?? "")
      .replaceAll("[next_url]", /^Contact:\s*<([^>]+)>/im.exec(answer)?.[1] ?? `sip:${to.host}:${to.port}`)
      .replaceAll(
        /\[last_(\w+):\]/g,
        (_, name: string) => new RegExp(`^${name}:.*$`, "im").exec(answer)?.[0] ?? "",
      )
      .replaceAll(/\[(\w+)\]/g, (whole, name: string) => values[name] ?? whole)
      .split(/\n\n/);
    const sdp = body === "" ? "" : `${body.trim().replaceAll("\n", "\r\n")}\r\n`;
    const lines = head.split("\n").filter((line) => line.trim() !== "");
    socket.send(`${lines.join("\r\n").replace("[len]", String(sdp.length))}\r\n\r\n${sdp}`, to.port, to.host);
  };
  const answered = async (): Promise<string> => {
    for (;;) {
      const [message] = (await once(socket, "message", { signal })) as [Buffer];
      if (!/^SIP\/2\.0 1\d\d /.test(message.toString())) return message.toString();
    }
  };
  try {
    send(invite);
    const answer = await answered();
    send(ack, answer);
    const status = /^SIP\/2\.0 (.*)$/m.exec(answer)?.[1]?.trim() ?? "no answer";
    if (bye === undefined) return { asPlanned: status.startsWith("403"), text: status };
    if (!status.startsWith("200")) return { asPlanned: false, text: status };
    await speak(to.host, Number(/^m=audio (\d+)/m.exec(answer)?.[1]), signal);
    send(bye, answer);
    await answered();
    return { asPlanned: true, text: "200 OK" };
  } catch (error) {
    if (signal.aborted) return { asPlanned: false, text: "stopped" };
    throw error;
  } finally {
    socket.close();
  }
}

async function speak(host: string, port: number, signal: AbortSignal): Promise<void> {
  const voice = await readFile(new URL("customer.ul", import.meta.url));
  await using sender = await createRtpSender({ codec: PCMU, payloadType: 0, host, port });
  const frames = Array.from({ length: Math.floor(voice.length / SAMPLES_A_FRAME) }, (_, i) => ({
    payload: voice.subarray(i * SAMPLES_A_FRAME, (i + 1) * SAMPLES_A_FRAME),
  }));
  await sender.play(frames, { signal });
}
