import { importPKCS8, SignJWT } from "jose";
import type { Clock } from "../../mesh/clock.ts";

const minuteMs = 60_000;
/** Apple refuses tokens that are 60 minutes old. */
const renewMs = 40 * minuteMs;
/** Apple refuses, for a while, who renews more often. */
const renewMsMin = 20 * minuteMs;

/** Who signs, as Apple's developer pages name it. */
export interface ApnsKey {
  /** PKCS #8 in PEM: the content of the .p8 file. */
  privateKey: string;
  /** 10 characters. */
  keyId: string;
  /** 10 characters. */
  teamId: string;
}

/**
 * The token that our requests to Apple carry: a JWT signed with ES256, one for all requests,
 * renewed between 20 and 60 minutes of age.
 */
export class ApnsToken {
  private readonly key: ApnsKey;
  private readonly signingKey: CryptoKey;
  private readonly clock: Clock;
  private issuedMs = 0;
  private token: Promise<string> | undefined;

  private constructor(key: ApnsKey, signingKey: CryptoKey, clock: Clock) {
    this.key = key;
    this.signingKey = signingKey;
    this.clock = clock;
  }

  /** @throws TypeError where the key is none. */
  static async open(key: ApnsKey, clock: Clock): Promise<ApnsToken> {
    return new ApnsToken(key, await importPKCS8(key.privateKey, "ES256"), clock);
  }

  /** The token for a request. */
  current(): Promise<string> {
    if (!this.token || this.ageMs() >= renewMs) this.token = this.issue();
    return this.token;
  }

  /**
   * A token was refused as expired. @returns the one to try instead; undefined: it is that same
   * one, and too young to be renewed.
   */
  async after(refused: string): Promise<string | undefined> {
    if ((await this.current()) === refused && this.ageMs() >= renewMsMin) {
      this.token = this.issue();
    }
    const token = await this.current();
    return token === refused ? undefined : token;
  }

  private ageMs(): number {
    return this.clock.monotonicMs() - this.issuedMs;
  }

  private issue(): Promise<string> {
    this.issuedMs = this.clock.monotonicMs();
    const { keyId, teamId } = this.key;
    return new SignJWT()
      .setProtectedHeader({ alg: "ES256", kid: keyId })
      .setIssuer(teamId)
      .setIssuedAt(Math.floor(this.clock.nowMs() / 1_000))
      .sign(this.signingKey);
  }
}
