/** Two ends of a stream within one process, for tests. */
import type { DuplexStream } from "./rpc.ts";

/** One end; see {@link memoryDuplex}. */
export class MemoryDuplex<In, Out> implements DuplexStream<In, Out> {
  onMessage: (message: In) => void = () => {};
  onClose: (error: Error | undefined) => void = () => {};
  onDrain: () => void = () => {};
  /** Set to false: `write` says that the buffer is full, until {@link drain}. */
  isWritable = true;
  /** Whether no message follows on this end. */
  isClosed = false;
  private readonly deliver: (message: Out) => void;
  private readonly leave: () => void;

  constructor(deliver: (message: Out) => void, leave: () => void) {
    this.deliver = deliver;
    this.leave = leave;
  }

  write(message: Out): boolean {
    if (!this.isClosed) this.deliver(message);
    return this.isWritable;
  }

  end(): void {
    if (!this.isClosed) this.leave();
  }

  /** There is room again. */
  drain(): void {
    this.isWritable = true;
    this.onDrain();
  }

  /** This end learns that the stream is over. */
  close(error?: Error): void {
    if (this.isClosed) return;
    this.isClosed = true;
    this.onClose(error);
  }
}

/**
 * A stream's two ends. What one writes the other hears in a later microtask, or when `later` calls
 * back, in order, passed through `encode`, which does what the wire would do. An end that is ended
 * closes both.
 */
export function memoryDuplex<ToRight, ToLeft, SentRight = ToRight, SentLeft = ToLeft>(
  encode: {
    toRight(message: SentRight): ToRight;
    toLeft(message: SentLeft): ToLeft;
  },
  later: (callback: () => void) => void = queueMicrotask,
): {
  left: MemoryDuplex<ToLeft, SentRight>;
  right: MemoryDuplex<ToRight, SentLeft>;
  /** Breaks the stream for both. */
  cut(error: Error): void;
} {
  const left: MemoryDuplex<ToLeft, SentRight> = new MemoryDuplex(
    (message) => {
      const heard = encode.toRight(message);
      later(() => !right.isClosed && right.onMessage(heard));
    },
    () => later(() => closeBoth()),
  );
  const right: MemoryDuplex<ToRight, SentLeft> = new MemoryDuplex(
    (message) => {
      const heard = encode.toLeft(message);
      later(() => !left.isClosed && left.onMessage(heard));
    },
    () => later(() => closeBoth()),
  );
  function closeBoth(error?: Error): void {
    left.close(error);
    right.close(error);
  }
  return { left, right, cut: closeBoth };
}
