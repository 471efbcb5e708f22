import { describe, expect, it } from "vitest";
import type { LmdbEnvironment } from "./lmdb.ts";
import { GroupCommit, type GroupedWrite, type GroupOwner } from "./lmdb-group-commit.ts";

/** Commits when the test says so. */
function scripted(owner: Partial<GroupOwner> = {}) {
  const commits: PromiseWithResolvers<boolean>[] = [];
  const events: string[] = [];
  const environment = {
    batch(action: () => void) {
      action();
      const commit = Promise.withResolvers<boolean>();
      commits.push(commit);
      return commit.promise;
    },
  } as unknown as LmdbEnvironment;
  const groups = new GroupCommit(environment, {
    beginGroup: () => void events.push("begin"),
    groupCommitted: () => void events.push("committed"),
    groupFailed: (error) => void events.push(`failed: ${error}`),
    ...owner,
  });
  const write = (name: string, bytes = 1, action = () => {}): GroupedWrite => ({
    bytes,
    write() {
      action();
      events.push(`write ${name}`);
    },
    committed: () => void events.push(`done ${name}`),
    failed: (error) => void events.push(`lost ${name}: ${error}`),
  });
  const turn = () => new Promise((resolve) => setImmediate(resolve));
  return { commits, events, groups, write, turn };
}

describe("GroupCommit", () => {
  it("commits together what is added in one turn, and what gathers during a commit", async () => {
    const { commits, events, groups, write, turn } = scripted();
    groups.add(write("1"));
    groups.add(write("2"));
    await turn();
    groups.add(write("3"));
    groups.add(write("4"));
    await turn();
    expect(events.splice(0)).toEqual(["begin", "write 1", "write 2"]);
    commits[0]!.resolve(true);
    await turn();
    expect(events.splice(0)).toEqual([
      ...["committed", "done 1", "done 2"],
      ...["begin", "write 3", "write 4"],
    ]);
    commits[1]!.resolve(true);
    await groups.idle();
    expect(events).toEqual(["committed", "done 3", "done 4"]);
  });

  it("cuts groups by number and bytes, in order", async () => {
    const { commits, events, groups, write, turn } = scripted();
    for (let i = 0; i < 1_030; i++) groups.add(write(`${i}`));
    groups.add(write("large", 8 << 20));
    groups.add(write("last"));
    const sizes: number[] = [];
    for (let group = 0; group < 3; group++) {
      await turn();
      sizes.push(events.splice(0).filter((event) => event.startsWith("write")).length);
      commits[group]!.resolve(true);
    }
    await groups.idle();
    expect(sizes).toEqual([1_024, 7, 1]);
  });

  it("refuses what is too much", () => {
    const { groups, write } = scripted();
    for (let i = 0; i < 8; i++) expect(groups.add(write("", 8 << 20))).toBe(true);
    expect(groups.add(write("", 1))).toBe(false);
  });

  it("tells the writes of a failed commit, and commits the next ones", async () => {
    const { commits, events, groups, write, turn } = scripted();
    groups.add(write("1"));
    await turn();
    groups.add(write("2"));
    commits[0]!.reject(new Error("disk full"));
    await turn();
    commits[1]!.resolve(true);
    await groups.idle();
    expect(events).toEqual([
      ...["begin", "write 1", "failed: Error: disk full", "lost 1: Error: disk full"],
      ...["begin", "write 2", "committed", "done 2"],
    ]);
  });

  it("goes on without a write that throws", async () => {
    const { commits, events, groups, write, turn } = scripted();
    groups.add(
      write("1", 1, () => {
        throw new Error("no");
      }),
    );
    groups.add(write("2"));
    await turn();
    commits[0]!.resolve(true);
    await groups.idle();
    expect(events).toEqual(["begin", "lost 1: Error: no", "write 2", "committed", "done 2"]);
  });

  it("leaves nobody waiting when its owner can't begin", async () => {
    const { commits, events, groups, write, turn } = scripted({
      beginGroup() {
        throw new Error("no");
      },
    });
    groups.add(write("1"));
    await turn();
    commits[0]!.resolve(true);
    await groups.idle();
    expect(events).toEqual(["failed: Error: no", "lost 1: Error: no"]);
  });
});
