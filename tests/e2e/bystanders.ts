/** Two who talk on while others misbehave, and must notice nothing of it. */
import { expect } from "vitest";
import type { ParleyUnderTest } from "../parley-under-test.ts";
import { type Device, newDevices } from "./device.ts";

/** Ann, Ben and their channel. */
export class Bystanders {
  readonly ann: Device;
  readonly ben: Device;
  readonly channelId: string;
  private readonly disturbances: string[] = [];
  private said = 0;

  private constructor(ann: Device, ben: Device, channelId: string) {
    this.ann = ann;
    this.ben = ben;
    this.channelId = channelId;
    for (const { client } of [ann, ben]) {
      client.on("state", ({ status }) => this.disturbances.push(status));
      client.on("reset", () => this.disturbances.push("reset"));
    }
  }

  /** Signs them up and connects them, each to an edge. */
  static async connect({ nextUrl }: ParleyUnderTest): Promise<Bystanders> {
    const [ann, ben] = (await newDevices(nextUrl, "ann", "ben")) as [Device, Device];
    return new Bystanders(ann, ben, await ann.openDirect(ben));
  }

  /** They still hear each other, on the connections that they had. */
  async talkOn(): Promise<void> {
    const text = `still here ${++this.said}`;
    await this.ann.say(this.channelId, text);
    await this.ben.hears(this.channelId, text);
    expect(this.disturbances).toEqual([]);
  }

  async close(): Promise<void> {
    for (const { client } of [this.ann, this.ben]) await client.close();
  }
}
