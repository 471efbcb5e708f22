/**
 * A terminal that people type into while other things are printed. On a TTY the typed line stays
 * at the bottom with its cursor, whatever is printed above it; piped input and output work line by
 * line.
 */
import {
  clearScreenDown,
  createInterface,
  cursorTo,
  type Interface,
  moveCursor,
} from "node:readline";
import { Writable } from "node:stream";
import { stripVTControlCharacters } from "node:util";
import { cutText, textWidth, wrapText } from "./terminal-text.ts";

/** Where a terminal reads and writes: standard input and output, or a test's streams. */
export interface TerminalStreams {
  input: NodeJS.ReadableStream & { isTTY?: boolean };
  output: NodeJS.WritableStream & { isTTY?: boolean; columns?: number };
  /** Whether to use colours on a TTY. */
  colours: boolean;
}

/** Marks up text; without colours everything stays plain. */
export type Paint = (style: Style, text: string) => string;

/** The styles that are used. */
export type Style = keyof typeof styles;

const styles = {
  dim: 2,
  bold: 1,
  red: 31,
  green: 32,
  yellow: 33,
  blue: 34,
  magenta: 35,
  cyan: 36,
} as const;

/** Lines that are typed ahead; input is paused at that many. */
const typedAheadMax = 1_000;
/** Lines above the prompt that are still to change; only the last ones are shown. */
const unsettledMax = 5;
/** For output that does not know its width, or calls it 0, as terminals without a size do. */
const columnsDefault = 80;

/** The terminal of one person. */
export class Terminal {
  readonly isTty: boolean;
  readonly paint: Paint;
  private readonly output: TerminalStreams["output"];
  private readonly screen: Screen;
  private readonly lineReader: Interface;
  private readonly typed: string[] = [];
  private next: ((line: string | undefined) => void) | undefined;
  private unsettled: string[] = [];
  private unsettledRows = 0;
  private promptText = "";
  private prompting = false;
  private ended = false;

  constructor({ input, output, colours }: TerminalStreams) {
    this.isTty = input.isTTY === true && output.isTTY === true;
    this.output = output;
    this.screen = new Screen(output);
    const marked = colours && this.isTty;
    this.paint = (style, text) =>
      marked && text !== "" ? `\u001b[${styles[style]}m${text}\u001b[0m` : text;
    this.lineReader = createInterface({ input, output: this.screen, terminal: this.isTty });
    this.lineReader.on("line", (line) => this.onLine(line));
    this.lineReader.on("SIGINT", () => this.close());
    this.lineReader.on("close", () => this.onEnd());
  }

  /** The width to break text at. */
  get columns(): number {
    return this.output.columns || columnsDefault;
  }

  /** Prints lines above what is being typed, as they are. */
  print(text: string): void {
    this.redraw(() => this.output.write(`${text}\n`));
  }

  /** Prints plain text, broken to the terminal's width. */
  tell(text: string, style?: Style): void {
    const lines = this.isTty ? wrapText(text, this.columns) : [text];
    this.print(lines.map((line) => (style ? this.paint(style, line) : line)).join("\n"));
  }

  /** Shows plain lines between what is printed and what is typed: what may still change. */
  setUnsettled(lines: readonly string[]): void {
    if (!this.isTty) return;
    this.redraw(() => {
      this.unsettled = lines.slice(-unsettledMax);
    });
  }

  /** What stands before the typed line. */
  setPrompt(prompt: string): void {
    if (prompt === this.promptText) return;
    this.redraw(() => {
      this.promptText = prompt;
      this.lineReader.setPrompt(prompt);
    });
  }

  /** The next line that is typed; undefined: there is no more. */
  readLine(): Promise<string | undefined> {
    const line = this.typed.shift();
    if (line !== undefined || this.ended) return Promise.resolve(line);
    this.redraw(() => {
      this.prompting = true;
    });
    this.lineReader.resume();
    return new Promise((resolve) => {
      this.next = resolve;
    });
  }

  /** Asks for one line. A secret is not shown. */
  async ask(question: string, options: { secret?: boolean } = {}): Promise<string | undefined> {
    this.setPrompt(question);
    const line = this.readLine();
    this.screen.isMuted = options.secret === true && this.isTty;
    const answer = await line;
    this.screen.isMuted = false;
    if (answer !== undefined && this.isTty)
      this.print(options.secret ? question : question + answer);
    return answer;
  }

  /** Ends reading. */
  close(): void {
    this.redraw(() => {
      this.prompting = false;
    });
    this.lineReader.close();
  }

  private onLine(line: string): void {
    if (this.isTty) {
      // What was typed is on the screen with its prompt; it is for others to print it again.
      const width = textWidth(stripVTControlCharacters(this.promptText)) + textWidth(line);
      this.erase(this.screen.isMuted ? 0 : Math.floor(width / this.columns) + 1);
      this.prompting = false;
      this.draw();
    }
    if (this.next) {
      const { next } = this;
      this.next = undefined;
      next(line);
    } else {
      this.typed.push(line);
      if (this.typed.length >= typedAheadMax) this.lineReader.pause();
    }
  }

  private onEnd(): void {
    this.ended = true;
    this.prompting = false;
    this.next?.(undefined);
    this.next = undefined;
  }

  private redraw(change: () => void): void {
    if (!this.isTty || this.ended) {
      change();
      return;
    }
    this.erase(this.prompting ? this.lineReader.getCursorPos().rows : 0);
    change();
    this.draw();
  }

  /** Erases what is typed, from `rowsAbove` rows over the cursor on, and the unsettled lines. */
  private erase(rowsAbove: number): void {
    const { output } = this;
    cursorTo(output, 0);
    moveCursor(output, 0, -rowsAbove - this.unsettledRows);
    clearScreenDown(output);
    // Where readline believes its line to begin: there is no other way to tell it.
    (this.lineReader as unknown as { prevRows: number }).prevRows = 0;
  }

  private draw(): void {
    // Cut, so that each takes one row.
    for (const line of this.unsettled) {
      this.output.write(`${this.paint("dim", cutText(line, this.columns - 1))}\n`);
    }
    this.unsettledRows = this.unsettled.length;
    if (this.prompting) this.lineReader.prompt(true);
  }
}

/** The output as readline sees it: silent while something secret is typed. */
class Screen extends Writable {
  isMuted = false;
  private readonly target: TerminalStreams["output"];

  constructor(target: TerminalStreams["output"]) {
    super();
    this.target = target;
    target.on("resize", () => this.emit("resize"));
  }

  /** Asked for by readline. */
  get columns(): number {
    return this.target.columns || columnsDefault;
  }

  override _write(chunk: Buffer, _encoding: string, done: () => void): void {
    if (!this.isMuted) this.target.write(chunk);
    done();
  }
}
