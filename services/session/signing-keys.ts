import type { Clock } from "../../mesh/clock.ts";
import type { Sql } from "../../mesh/sql.ts";
import { randomId } from "./ids.ts";
import type { SessionConfig } from "./session-config.ts";

/** The key that signs access tokens now. */
export interface PresentKey {
  keyId: string;
  privateKey: CryptoKey;
}

/** A key as Session lists it. */
export interface PublicKey {
  keyId: string;
  publicKey: Uint8Array;
}

interface KeyRow {
  generation: number;
  key_id: string;
  private_key: Uint8Array;
  create_time: Date;
}

/** How far the clocks of instances may differ when they decide that a key is too old. */
const clockSkewMs = 60_000;

/**
 * The Ed25519 keys of access tokens, in the database, in generations. Every instance signs with
 * the newest it knows until that is `signingKeyMs` old; then the first that asks makes the next
 * generation and the others find it there. Who reads the table can sign.
 */
export class SigningKeys {
  private readonly sql: Sql;
  private readonly clock: Clock;
  private readonly config: SessionConfig;
  private present: (PresentKey & { generation: number; endMs: number }) | undefined;
  private renewing: Promise<PresentKey> | undefined;

  constructor(sql: Sql, clock: Clock, config: SessionConfig) {
    this.sql = sql;
    this.clock = clock;
    this.config = config;
  }

  /** The key to sign with. Makes one where there is none or the last is too old. */
  async current(): Promise<PresentKey> {
    if (this.present && this.clock.nowMs() < this.present.endMs) return this.present;
    this.renewing ??= this.renew().finally(() => {
      this.renewing = undefined;
    });
    return this.renewing;
  }

  /** The present key, then those whose tokens may still live. */
  async list(): Promise<PublicKey[]> {
    const { signingKeyMs, accessTokenMs } = this.config;
    const oldestMs = this.clock.nowMs() - signingKeyMs - accessTokenMs - clockSkewMs;
    const rows = await this.sql.query<{ key_id: string; public_key: Uint8Array }>(
      "SELECT key_id, public_key FROM signing_keys WHERE create_time > $1 ORDER BY generation DESC",
      [new Date(oldestMs)],
    );
    return rows.map((row) => ({ keyId: row.key_id, publicKey: row.public_key }));
  }

  private async renew(): Promise<PresentKey> {
    let newest = await this.newest();
    if (!newest || this.endMs(newest) <= this.clock.nowMs()) {
      await this.make((newest?.generation ?? 0) + 1);
      newest = (await this.newest())!;
    }
    const bytes = new Uint8Array(newest.private_key);
    this.present = {
      generation: newest.generation,
      endMs: this.endMs(newest),
      keyId: newest.key_id,
      privateKey: await crypto.subtle.importKey("pkcs8", bytes, "Ed25519", false, ["sign"]),
    };
    return this.present;
  }

  private async newest(): Promise<KeyRow | undefined> {
    const [row] = await this.sql.query<KeyRow>(
      `SELECT generation, key_id, private_key, create_time FROM signing_keys
      ORDER BY generation DESC LIMIT 1`,
    );
    return row;
  }

  /** Makes a generation, unless another instance was quicker. */
  private async make(generation: number): Promise<void> {
    const usages: KeyUsage[] = ["sign", "verify"];
    const pair = (await crypto.subtle.generateKey("Ed25519", true, usages)) as CryptoKeyPair;
    const [publicKey, privateKey] = await Promise.all([
      crypto.subtle.exportKey("raw", pair.publicKey),
      crypto.subtle.exportKey("pkcs8", pair.privateKey),
    ]);
    await this.sql.query(
      `INSERT INTO signing_keys (generation, key_id, public_key, private_key, create_time)
      VALUES ($1, $2, $3, $4, $5) ON CONFLICT (generation) DO NOTHING`,
      [
        generation,
        randomId(),
        new Uint8Array(publicKey),
        new Uint8Array(privateKey),
        new Date(this.clock.nowMs()),
      ],
    );
  }

  private endMs(row: KeyRow): number {
    return row.create_time.getTime() + this.config.signingKeyMs;
  }
}
