/** What a process needs to let callers in with their own access tokens. */
import type { Revocation } from "../gen/parley/log/v1/log_pb.js";
import { SessionService } from "../gen/parley/session/v1/session_service_pb.js";
import { type AccessToken, accessTokenMsMax } from "./access-token.ts";
import { TokenVerifier } from "./access-token-verifier.ts";
import type { Clock } from "./clock.ts";
import { unavailable } from "./errors.ts";
import type { Logger } from "./logger.ts";
import { Revocations } from "./revocations.ts";
import type { Mesh } from "./rpc.ts";
import type { Streams } from "./streams.ts";

/** What the checks work with. */
export interface AccessTokenChecksOptions {
  /** See {@link sessionVerifier}. */
  verifier: Pick<TokenVerifier, "verify" | "isRevoked" | "applyRevocation">;
  /** Who has been revoked is read from them. */
  streams: Streams;
  clock: Clock;
  log: Logger;
  /** How often. Default: 250, well within the second that it may take. */
  pollMs?: number;
}

/** A verifier that asks Session for the keys. */
export function sessionVerifier(mesh: Mesh, clock: Clock): TokenVerifier {
  const sessions = mesh.client(SessionService);
  const loadKeys = async () => (await sessions.listSigningKeys({})).keys;
  return new TokenVerifier({ loadKeys, clock, accessTokenMs: accessTokenMsMax });
}

/**
 * A verifier that follows the revocations. A process may serve before all of those are read: until
 * then tokens are answered UNAVAILABLE, and nothing else is.
 */
export class AccessTokenChecks {
  private readonly verifier: AccessTokenChecksOptions["verifier"];
  private readonly revocations: Revocations;
  private readonly listeners = new Set<(revocation: Revocation) => void>();
  private isReady = false;

  constructor({ verifier, streams, clock, log, pollMs = 250 }: AccessTokenChecksOptions) {
    this.verifier = verifier;
    this.revocations = new Revocations({
      streams,
      clock,
      log,
      pollMs,
      onRevocation: (revocation) => {
        verifier.applyRevocation(revocation);
        for (const listener of this.listeners) listener(revocation);
      },
    });
  }

  /** Resolves when all revocations that are stored now are known; tries for as long as it takes. */
  async start(): Promise<void> {
    await this.revocations.start();
    this.isReady = true;
  }

  /** Follows the revocations no more. */
  stop(): void {
    this.revocations.stop();
  }

  /** As {@link TokenVerifier.verify}. @throws DomainError also UNAVAILABLE before it is ready */
  async verify(token: string): Promise<AccessToken> {
    if (!this.isReady) throw unavailable("who has been revoked can't be read yet");
    return this.verifier.verify(token);
  }

  /** As {@link TokenVerifier.isRevoked}. */
  isRevoked(token: AccessToken): boolean {
    return this.verifier.isRevoked(token);
  }

  /** Calls back after a revocation of some of a user's tokens, or all; perhaps again. */
  onRevocation(listener: (revocation: Revocation) => void): void {
    this.listeners.add(listener);
  }
}
