/** What every adapter of streams.ts does. */
import { afterEach, beforeEach, describe } from "vitest";
import type { Streams } from "./streams.ts";
import { appendContract } from "./streams-append.contract.ts";
import { deadLettersContract } from "./streams-dead-letters.contract.ts";
import { keepContract } from "./streams-keep.contract.ts";
import { liveContract } from "./streams-live.contract.ts";
import { modelContract } from "./streams-model.contract.ts";
import { readContract } from "./streams-read.contract.ts";
import {
  type OpenStreams,
  type StreamsFactory,
  type StreamsUnderTest,
  testRetention,
} from "./streams-under-test.ts";
import { workContract } from "./streams-work.contract.ts";

/** Runs the suite. */
export function streamsContract(adapter: string, create: StreamsFactory): void {
  describe(`Streams: ${adapter}`, () => {
    let adapterUnderTest: StreamsUnderTest;
    let streams: Streams;
    beforeEach(async () => {
      adapterUnderTest = await create(testRetention);
      streams = await adapterUnderTest.open();
    });
    afterEach(async () => {
      await streams.close();
      await adapterUnderTest.dispose();
    });

    const test: OpenStreams = {
      get streams() {
        return streams;
      },
      async reopen() {
        await streams.close();
        streams = await adapterUnderTest.open();
      },
      pass: (ms) => adapterUnderTest.pass(ms),
      async until(condition) {
        for (let round = 0; round < 20_000; round++) {
          if (await condition()) return;
          await adapterUnderTest.pass(5);
        }
        throw new Error("did not come true");
      },
    };
    appendContract(test);
    readContract(test);
    liveContract(test);
    workContract(test);
    keepContract(test);
    deadLettersContract(test);
    modelContract(test);
  });
}
