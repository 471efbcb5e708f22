import type { Revocation } from "../gen/parley/log/v1/log_pb.js";
import type { AccessToken } from "../mesh/access-token.ts";
import { CloseCode } from "./close-codes.ts";

/** A signed-in device's connection, as far as others close it. */
export interface DeviceConnection {
  readonly token: AccessToken | undefined;
  close(code: CloseCode, reason: string): void;
}

/** Told who is connected. Repetitions do no harm. */
export interface PresenceReporter {
  /** The device has a connection. */
  attached(userId: string, deviceId: string): void;
  /** The device has none any more; it may come back. It was there until `heardMs` (monotonic). */
  detached(userId: string, deviceId: string, heardMs: number): void;
  /** The device has none and will not come back by itself. */
  loggedOut(userId: string, deviceId: string): void;
}

/** How a device's connection has ended. */
export interface ConnectionEnd {
  isLoggedOut: boolean;
  /** When the device was there for the last time, by the monotonic clock. */
  heardMs: number;
}

/** The devices that are connected to this edge, each with one connection: its latest. */
export class Devices {
  private readonly presence: PresenceReporter;
  private readonly connections = new Map<string, DeviceConnection>();

  constructor(presence: PresenceReporter) {
    this.presence = presence;
  }

  /** All of them, read bit by bit while devices come and go. */
  *list(): Generator<AccessToken> {
    for (const { token } of this.connections.values()) if (token) yield token;
  }

  /**
   * Makes this the device's connection. One that it had before is closed: mostly it is half open
   * and its device has forgotten it.
   */
  attach(token: AccessToken, connection: DeviceConnection): void {
    const before = this.connections.get(token.deviceId);
    this.connections.set(token.deviceId, connection);
    if (before) before.close(CloseCode.REPLACED, "the device has opened another connection");
    else this.presence.attached(token.userId, token.deviceId);
  }

  /** The connection has ended. */
  detach(token: AccessToken, connection: DeviceConnection, end: ConnectionEnd): void {
    const { userId, deviceId } = token;
    if (this.connections.get(deviceId) !== connection) return;
    this.connections.delete(deviceId);
    if (end.isLoggedOut) this.presence.loggedOut(userId, deviceId);
    else this.presence.detached(userId, deviceId, end.heardMs);
  }

  /** Closes the connections whose tokens the revocation ends. */
  revoke(revocation: Revocation): void {
    const { userId, deviceId } = revocation;
    if (deviceId !== "") {
      this.closeRevoked(this.connections.get(deviceId), revocation);
      return;
    }
    // Rare (a changed password, a deleted account), so it need not be fast.
    for (const connection of this.connections.values()) {
      if (connection.token?.userId === userId) this.closeRevoked(connection, revocation);
    }
  }

  private closeRevoked(connection: DeviceConnection | undefined, revocation: Revocation): void {
    const token = connection?.token;
    if (token?.userId !== revocation.userId) return;
    if (token.issueTimeMs >= Number(revocation.issuedBeforeMs)) return;
    connection?.close(CloseCode.TOKEN_REVOKED, "the device's sign-in has been ended");
  }
}
