/** A certificate of its own for tests that speak TLS on loopback, made by openssl. */
import { execFileSync, spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** Whether it can be made; tests use `test.skipIf(!hasOpenssl())`. */
export function hasOpenssl(): boolean {
  if (spawnSync("openssl", ["version"], { encoding: "utf8" }).stdout?.startsWith("OpenSSL") === true)
    return true;
  console.warn("\n*** SKIPPED: TLS. On Debian: sudo apt-get install openssl\n");
  return false;
}

/** PEM of a key and of a certificate for 127.0.0.1, good for a day. */
export function createCertificate(): { readonly key: string; readonly cert: string } {
  const folder = mkdtempSync(join(tmpdir(), "tonetap-tls-"));
  const [key, cert] = [join(folder, "key.pem"), join(folder, "cert.pem")];
  const curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
  try {
    execFileSync(
      "openssl",
      [
        "req",
        "-x509",
        ...curve,
        "-days",
        "1",
        "-subj",
        "/CN=127.0.0.1",
        "-addext",
        "subjectAltName=IP:127.0.0.1",
        "-keyout",
        key,
        "-out",
        cert,
      ],
      { stdio: "ignore" },
    );
    return { key: readFileSync(key, "utf8"), cert: readFileSync(cert, "utf8") };
  } finally {
    rmSync(folder, { recursive: true });
  }
}
