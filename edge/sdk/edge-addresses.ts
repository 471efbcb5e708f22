/**
 * Several edges of one Parley. What shares this object uses the same edge, the first at first; where
 * it can't be reached, or sends its clients elsewhere, the next one's turn has come.
 */
export class EdgeAddresses {
  private readonly urls: readonly string[];
  private at = 0;

  /** @throws TypeError for a bad URL, or none */
  constructor(urls: readonly string[]) {
    if (urls.length === 0) throw new TypeError("at least one URL is expected");
    this.urls = urls.map((url) => new URL(url).href.replace(/\/$/, ""));
  }

  /** One, or those that are one already. */
  static of(url: string | EdgeAddresses): EdgeAddresses {
    return typeof url === "string" ? new EdgeAddresses([url]) : url;
  }

  /** The one to use, without a slash at its end. */
  get current(): string {
    return this.urls[this.at]!;
  }

  /** Another one's turn, unless it has come already. */
  leave(url: string): void {
    if (url === this.current) this.at = (this.at + 1) % this.urls.length;
  }
}
