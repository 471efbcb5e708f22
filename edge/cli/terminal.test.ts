import { PassThrough } from "node:stream";
import { describe, expect, it } from "vitest";
import { Terminal } from "./terminal.ts";

/** A terminal over streams, and what was written to it. */
function open({ isTTY = false, columns = 40 } = {}) {
  const input = Object.assign(new PassThrough(), { isTTY, setRawMode: () => {} });
  const output = Object.assign(new PassThrough(), { isTTY, columns });
  const chunks: string[] = [];
  output.on("data", (chunk) => chunks.push(String(chunk)));
  const terminal = new Terminal({ input, output, colours: true });
  const forget = () => chunks.splice(0);
  return { terminal, input, written: () => chunks.join(""), forget };
}

const turn = () => new Promise((resolve) => setImmediate(resolve));

describe("Terminal", () => {
  it("reads piped lines in their order, the last one without its end too", async () => {
    const { terminal, input } = open();
    input.end("one\ntwo\nthree");
    const lines = [];
    for (
      let line = await terminal.readLine();
      line !== undefined;
      line = await terminal.readLine()
    ) {
      lines.push(line);
    }
    expect(lines).toEqual(["one", "two", "three"]);
  });

  it("writes plain lines to a pipe: no prompt, no colours, no breaks", () => {
    const { terminal, written } = open();
    terminal.setPrompt("> ");
    terminal.setUnsettled(["on its way"]);
    terminal.tell("a line that is longer than forty columns are wide", "red");
    expect(written()).toBe("a line that is longer than forty columns are wide\n");
  });

  it("draws what is being typed again under what is printed", async () => {
    const { terminal, input, written, forget } = open({ isTTY: true });
    terminal.setPrompt("> ");
    void terminal.readLine();
    input.write("half a li");
    await turn();
    forget();
    terminal.print("news");
    await turn();
    expect(written()).toMatch(/news\n.*> half a li/s);
  });

  it("shows a secret neither while it is typed nor afterwards", async () => {
    const { terminal, input, written } = open({ isTTY: true });
    const answer = terminal.ask("Password: ", { secret: true });
    await turn();
    input.write("correct");
    await turn();
    input.write(" horse\r");
    expect(await answer).toBe("correct horse");
    terminal.print("done");
    expect(written()).toContain("Password: ");
    expect(written()).not.toContain("horse");
  });

  it("keeps what is unsettled between the printed and the typed lines", async () => {
    const { terminal, written, forget } = open({ isTTY: true });
    terminal.setPrompt("> ");
    void terminal.readLine();
    terminal.setUnsettled(["a text on its way that is wider than the terminal"]);
    await turn();
    forget();
    terminal.print("news");
    await turn();
    expect(written()).toMatch(/news\n.*a text on its way that is wider than t….*\n.*> /s);
  });

  it("takes a width of 0 for none", () => {
    expect(open({ isTTY: true, columns: 0 }).terminal.columns).toBe(80);
  });

  it("ends at Ctrl-C", async () => {
    const { terminal, input } = open({ isTTY: true });
    const line = terminal.readLine();
    input.write("\u0003");
    expect(await line).toBeUndefined();
  });
});
