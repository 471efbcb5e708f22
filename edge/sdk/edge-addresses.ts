/**
 * The edges of one Parley, as a client knows them. What shares this object uses the same one; where
 * it can't be reached, or sends its clients elsewhere, the next one's turn has come.
 *
 * A list that the app gives stands. One URL alone is where the client asks first: it goes on to the
 * edges that it is assigned, in their order, and comes back to the URL after the last of them. Where
 * edges are not assigned, for there is a balancer at the URL, it stays there.
 */
export class EdgeAddresses {
  private readonly given: readonly string[];
  private readonly follows: boolean;
  private urls: readonly string[];
  private at = 0;
  private readonly failed = new Set<string>();
  private isRoundOver = false;

  /**
   * @param follows whether the client goes where it is sent
   * @throws TypeError for a bad URL, or none
   */
  constructor(urls: readonly string[], follows = false) {
    if (urls.length === 0) throw new TypeError("at least one URL is expected");
    this.given = urls.map(normalized);
    this.urls = this.given;
    this.follows = follows;
  }

  /** One, or those that are one already. */
  static of(url: string | EdgeAddresses): EdgeAddresses {
    return typeof url === "string" ? new EdgeAddresses([url], true) : url;
  }

  /** The one to use, without a slash at its end. */
  get current(): string {
    return this.urls[this.at]!;
  }

  /** Those that were left since a connection was well. */
  get failedUrls(): readonly string[] {
    return [...this.failed];
  }

  /** Whether every edge that was assigned has been tried in vain: it is time to ask for others. */
  get areUsedUp(): boolean {
    return this.isRoundOver && this.urls !== this.given;
  }

  /** Another one's turn, unless it has come already. */
  leave(url: string): void {
    this.failed.add(url);
    if (url !== this.current) return;
    this.at = (this.at + 1) % this.urls.length;
    if (this.at === 0) this.isRoundOver = true;
  }

  /** A connection is well: what failed before may be back when it is needed. */
  settle(): void {
    this.failed.clear();
    this.isRoundOver = false;
  }

  /** Takes the edges that are assigned, the best first; none: as before. */
  follow(assigned: readonly string[]): void {
    if (!this.follows || assigned.length === 0) return;
    const urls = [...assigned.map(normalized), ...this.given];
    this.urls = [...new Set(urls)];
    this.at = 0;
    this.isRoundOver = false;
  }

  /** Goes where an edge sends its client, and from there on to the others. */
  goTo(url: string): void {
    if (this.follows && URL.canParse(url)) {
      const first = normalized(url);
      this.follow([first, ...this.urls.filter((each) => each !== first)]);
    }
  }
}

function normalized(url: string): string {
  return new URL(url).href.replace(/\/$/, "");
}
