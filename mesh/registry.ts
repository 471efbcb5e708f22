/**
 * Who is there: instances of services, found by name. The registry is a hint, not a truth: an
 * instance that it lists may be gone, and one that it lacks may live.
 */

/** One process' offer of one service. */
export interface Instance {
  /** Unique for the life of the process: "message-4f2a". */
  instanceId: string;
  /** The service's Protobuf name, or a role that serves no gRPC ("parley.edge"). */
  service: string;
  /** Where it listens: "127.0.0.1:41234". */
  address: string;
  /** What else others need to know; small. */
  metadata: Readonly<Record<string, string>>;
}

/** Registers and finds instances. */
export interface Registry {
  /**
   * Offers an instance. It appears to watchers as soon as its health check passes.
   * @throws when the registry is away: try again.
   */
  register(instance: Instance): Promise<Registration>;

  /**
   * Calls back with all healthy instances of a service: soon after the call, then on every
   * change, never twice with the same list. While the registry is away the last known list
   * stands: an error never empties it.
   */
  watch(service: string, onChange: (instances: readonly Instance[]) => void): Watch;
}

/** An offer that stands until withdrawn. */
export interface Registration {
  /**
   * Says something else of the instance, in place of all its metadata; watchers see it within
   * seconds. Each call is a write that every watcher is told of: for what changes all the time, not
   * more often than every few seconds.
   * @throws when the registry is away: what was said before stands.
   */
  update(metadata: Instance["metadata"]): Promise<void>;
  /** Withdraws the offer; watchers see it go within seconds. Never rejects. */
  deregister(): Promise<void>;
}

/** A running watch. */
export interface Watch {
  /** No callback follows. */
  stop(): void;
}
