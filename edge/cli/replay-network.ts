import type { ParleyClientOptions } from "../sdk/index.ts";

/** Nobody listens there. */
const nowhere = "ws://127.0.0.1:1";

/** The network of one device, which can be away. */
export class DeviceNetwork {
  /** For the SDK. */
  readonly WebSocket: NonNullable<ParleyClientOptions["WebSocket"]>;
  private presence = new AbortController();

  constructor() {
    const network = this;
    class DeviceSocket extends WebSocket {
      constructor(url: string | URL, protocols?: string | string[]) {
        const { signal } = network.presence;
        super(signal.aborted ? nowhere : url, protocols);
        const onAway = () => this.close();
        signal.addEventListener("abort", onAway);
        this.addEventListener("close", () => signal.removeEventListener("abort", onAway));
      }
    }
    // The SDK's is the part of it that every environment has.
    this.WebSocket = DeviceSocket as unknown as typeof this.WebSocket;
  }

  /** For the SDK. Needs no `this`. */
  readonly fetch: typeof fetch = (input, init = {}) => {
    const signals = [this.presence.signal, ...(init.signal ? [init.signal] : [])];
    return fetch(input, { ...init, signal: AbortSignal.any(signals) });
  };

  get isAway(): boolean {
    return this.presence.signal.aborted;
  }

  /** Breaks what is open; nothing opens until the function returned is called. */
  leave(): () => void {
    this.presence.abort(new TypeError("the network is away"));
    return () => {
      this.presence = new AbortController();
    };
  }
}
