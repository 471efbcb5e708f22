/** What carries a connection's frames: a WebSocket, or HTTP requests one after the other. */
export interface FrameSocket {
  /** Bytes that were sent and have not left. */
  readonly bufferedAmount: number;
  /** Whether the client is not read at the moment: its silence says nothing then. */
  readonly isPaused: boolean;
  pause(): void;
  resume(): void;
  /** What is sent from now on leaves together. */
  cork(): void;
  /** Lets go of what was sent since `cork`. */
  uncork(): void;
  /** Sends a frame after all that were sent before; `onLeft` is called when it has left. */
  send(frame: Uint8Array | string, onLeft?: () => void): void;
  /** Tells the client why, after what was sent, and ends. */
  close(code: number, reason: string): void;
  /** Ends without a word. */
  terminate(): void;
}
