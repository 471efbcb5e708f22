import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** A key and a certificate that signs itself, PEM: for localhost and 127.0.0.1. */
export interface StandInCertificate {
  key: string;
  cert: string;
}

/** Makes one, with the machine's openssl. */
export function makeCertificate(): StandInCertificate {
  const folder = mkdtempSync(join(tmpdir(), "parley-stand-in-"));
  try {
    const names = "subjectAltName=DNS:localhost,IP:127.0.0.1";
    const kind = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2";
    const args = [...kind.split(" "), "-subj", "/CN=localhost", "-addext", names];
    const files = ["-keyout", "key.pem", "-out", "cert.pem"];
    execFileSync("openssl", [...args, ...files], { cwd: folder, stdio: "pipe" });
    const read = (name: string) => readFileSync(join(folder, name), "utf8");
    return { key: read("key.pem"), cert: read("cert.pem") };
  } finally {
    rmSync(folder, { recursive: true });
  }
}
