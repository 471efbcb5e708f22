/** What a process needs to let callers in with their own access tokens. */
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
  /** Session is asked for the keys. */
  mesh: Mesh;
  /** Who has been revoked is read from them. */
  streams: Streams;
  clock: Clock;
  log: Logger;
}

/** How often the stream of ended sign-ins is read: well within the second that it may take. */
const pollMs = 250;

/**
 * A verifier that has Session's keys and follows the revocations. A process may serve before all
 * of those are read: until then tokens are answered UNAVAILABLE, and nothing else is.
 */
export class AccessTokenChecks {
  private readonly verifier: TokenVerifier;
  private readonly revocations: Revocations;
  private readonly listeners = new Set<(userId: string) => void>();
  private isReady = false;

  constructor({ mesh, streams, clock, log }: AccessTokenChecksOptions) {
    const sessions = mesh.client(SessionService);
    this.verifier = new TokenVerifier({
      loadKeys: async () => (await sessions.listSigningKeys({})).keys,
      clock,
      accessTokenMs: accessTokenMsMax,
    });
    this.revocations = new Revocations({
      streams,
      clock,
      log,
      pollMs,
      onRevocation: (revocation) => {
        this.verifier.applyRevocation(revocation);
        for (const listener of this.listeners) listener(revocation.userId);
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

  /** Calls back after a revocation of some of the user's tokens, or all. */
  onRevocation(listener: (userId: string) => void): void {
    this.listeners.add(listener);
  }
}
