/**
 * An open-loop schedule: calls back when each of its times has come, whatever became of those
 * before. Node's timers are a millisecond coarse, as much as what is to be measured; a thread
 * that sleeps with `Atomics.wait` wakes within some 60 µs and burns no core.
 */
import { isMainThread, parentPort, Worker, workerData } from "node:worker_threads";

/** Calls `onDue` `perSecond` times a second for so many seconds, with the time it was due (µs). */
export async function tick(
  perSecond: number,
  seconds: number,
  onDue: (dueUs: number) => void,
): Promise<void> {
  const total = perSecond * seconds;
  const startMs = performance.now() + 100;
  // The thread's clock starts later than this one's.
  const startTimeMs = performance.timeOrigin + startMs;
  const worker = new Worker(import.meta.filename, {
    workerData: { perSecond, total, startTimeMs } satisfies Schedule,
  });
  let done = 0;
  await new Promise<void>((resolve, reject) => {
    worker.on("error", reject);
    worker.on("message", (due: number) => {
      for (; done < due; done++) onDue(Math.round((startMs + (done * 1_000) / perSecond) * 1_000));
      if (done === total) resolve();
    });
  });
  await worker.terminate();
}

interface Schedule {
  perSecond: number;
  total: number;
  /** In milliseconds since 1970. */
  startTimeMs: number;
}

/** Says how many are due, each time that there are more. */
function runThread({ perSecond, total, startTimeMs }: Schedule): void {
  const sleeping = new Int32Array(new SharedArrayBuffer(4));
  const elapsedMs = () => performance.timeOrigin + performance.now() - startTimeMs;
  for (let due = 0; due < total; ) {
    Atomics.wait(sleeping, 0, 0, Math.max(0, (due * 1_000) / perSecond - elapsedMs()));
    due = Math.min(total, Math.max(due, Math.floor((elapsedMs() * perSecond) / 1_000) + 1));
    parentPort!.postMessage(due);
  }
}

if (!isMainThread) runThread(workerData);
