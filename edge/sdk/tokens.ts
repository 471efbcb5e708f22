import { timestampMs } from "@bufbuild/protobuf/wkt";
import { type Client, Code, ConnectError, createClient } from "@connectrpc/connect";
import type { Edge, Tokens as TokensMessage } from "../../gen/parley/session/v1/session_pb.js";
import {
  type LogInResponse,
  SessionService,
  type SignUpResponse,
} from "../../gen/parley/session/v1/session_service_pb.js";
import { EdgeAddresses } from "./edge-addresses.ts";
import { sdkError } from "./errors.ts";
import type { ServerClock } from "./server-clock.ts";
import { createHttpTransport } from "./transport-http.ts";

/** A device's sign-in: plain data, to be kept as JSON. The refresh token is a secret. */
export interface SignIn {
  userId: string;
  username: string;
  displayName: string;
  deviceId: string;
  accessToken: string;
  /** When the access token ends, in milliseconds since 1970 by the server's clock. */
  accessExpireTimeMs: number;
  refreshToken: string;
  refreshExpireTimeMs: number;
  /** The edges that were assigned last, the best first; absent or none: edges are not assigned. */
  edgeUrls?: readonly string[];
}

/** Keeps the sign-in of one device. Two programs must not share one, unless they share a store. */
export interface TokenStore {
  /** What was saved last; undefined: nobody is signed in. */
  load(): Promise<SignIn | undefined>;
  /** Replaces it; undefined: the sign-in is over. */
  save(signIn: SignIn | undefined): Promise<void>;
}

/** Keeps a sign-in for as long as the program runs. */
export function memoryTokenStore(signIn?: SignIn): TokenStore {
  let kept = signIn;
  return {
    load: async () => kept,
    async save(signIn) {
      kept = signIn;
    },
  };
}

/** Where to sign in. */
export interface SignInOptions {
  /** The edge: "https://chat.example.com"; or several, which share one choice. */
  url: string | EdgeAddresses;
  /** Where the client is, as the operator of the edges calls it. Default: anywhere. */
  region?: string;
  /** What the device is called in the account's list of devices, at most 64 code points. */
  deviceName?: string;
  /** Instead of the global one. */
  fetch?: typeof fetch;
}

/**
 * Makes an account and signs the device in.
 * @throws ConnectError with a reason: USERNAME_TAKEN, EMAIL_TAKEN, FIELD_INVALID, OVERLOADED …
 */
export async function signUp(
  options: SignInOptions & {
    username: string;
    password: string;
    displayName?: string;
    email?: string;
  },
): Promise<SignIn> {
  const { username, password, displayName = "", email = "", deviceName = "" } = options;
  const { region = "" } = options;
  const request = { username, password, displayName, email, deviceName, region };
  return toSignIn(await sessions(options).signUp(request));
}

/**
 * Signs a device in.
 * @throws ConnectError with a reason: CREDENTIALS_WRONG, TOO_MANY_ATTEMPTS, OVERLOADED …
 */
export async function logIn(
  options: SignInOptions & {
    /** A user name or an e-mail address. */
    login: string;
    password: string;
  },
): Promise<SignIn> {
  const { login, password, deviceName = "", region = "" } = options;
  return toSignIn(await sessions(options).logIn({ login, password, deviceName, region }));
}

/** The access token is renewed this long before its end. */
const accessMarginMs = 60_000;
/** An edge that does not answer in time is another one that has failed. */
const assignTimeoutMs = 5_000;
/** As many as may be named. */
const failedUrlsMax = 20;
/** The refresh token is renewed this long before its end, if nothing else did it. */
const refreshMarginMs = 7 * 24 * 3_600_000;

/** The tokens of one sign-in, always fresh. */
export class Tokens {
  private readonly store: TokenStore;
  private readonly serverClock: ServerClock;
  private readonly sessions: Client<typeof SessionService>;
  private readonly addresses: EdgeAddresses;
  private readonly region: string;
  private signIn: SignIn;
  private refreshing: Promise<void> | undefined;

  private constructor(signIn: SignIn, options: TokensOptions) {
    this.signIn = signIn;
    this.store = options.store;
    this.serverClock = options.serverClock;
    this.addresses = EdgeAddresses.of(options.url);
    this.region = options.region ?? "";
    this.sessions = sessions({ ...options, url: this.addresses });
    this.addresses.follow(signIn.edgeUrls ?? []);
  }

  /** @throws ConnectError SIGNED_OUT when the store has no sign-in */
  static async load(options: TokensOptions): Promise<Tokens> {
    const signIn = await options.store.load();
    if (!signIn) throw signedOut("nobody is signed in");
    return new Tokens(signIn, options);
  }

  /** Whose tokens they are. */
  get owner(): Pick<SignIn, "userId" | "username" | "displayName" | "deviceId"> {
    return this.signIn;
  }

  /**
   * An access token with a minute to live at least, as far as the server's clock is known.
   * @throws ConnectError SIGNED_OUT, UNAUTHENTICATED: the sign-in is over; else try again
   */
  async accessToken(): Promise<string> {
    const { accessExpireTimeMs } = this.signIn;
    if (accessExpireTimeMs - accessMarginMs < this.serverClock.nowMs()) await this.refresh();
    return this.signIn.accessToken;
  }

  /**
   * Renews a refresh token that ends within a week. A connection lives on past its access token
   * and needs no refreshing, but must not end signed out. Errors: see {@link accessToken}.
   */
  async keep(): Promise<void> {
    if (this.signIn.refreshExpireTimeMs - refreshMarginMs < this.serverClock.nowMs()) {
      await this.refresh();
    }
  }

  /** Renews the tokens, at once for all who ask meanwhile. Errors: see {@link accessToken}. */
  refresh(): Promise<void> {
    this.refreshing ??= this.renew().finally(() => {
      this.refreshing = undefined;
    });
    return this.refreshing;
  }

  /** Asks for edges in place of those that have failed. @throws ConnectError: try again */
  async assignEdges(): Promise<void> {
    const { addresses, region } = this;
    const failedUrls = addresses.failedUrls.slice(0, failedUrlsMax);
    const options = { timeoutMs: assignTimeoutMs };
    const { edges } = await this.sessions.assignEdge({ region, failedUrls }, options);
    await this.keepSignIn({ ...this.signIn, ...edgeFields({ edges }) });
  }

  /** Forgets the sign-in. */
  async clear(): Promise<void> {
    await this.store.save(undefined);
  }

  private async renew(): Promise<void> {
    const stored = await this.store.load();
    if (!stored) throw signedOut("the sign-in is over");
    if (stored.refreshToken !== this.signIn.refreshToken) {
      // Somebody who shares the store was faster: a refresh token works only once.
      this.signIn = stored;
      this.addresses.follow(stored.edgeUrls ?? []);
      return;
    }
    let renewed: SignIn;
    try {
      const { refreshToken } = this.signIn;
      const answer = await this.sessions.refreshTokens({ refreshToken, region: this.region });
      renewed = { ...this.signIn, ...tokenFields(answer.tokens!), ...edgeFields(answer) };
    } catch (error) {
      if (ConnectError.from(error).code === Code.Unauthenticated) await this.clear();
      throw error;
    }
    await this.keepSignIn(renewed);
  }

  private async keepSignIn(signIn: SignIn): Promise<void> {
    this.signIn = signIn;
    this.addresses.follow(signIn.edgeUrls ?? []);
    await this.store.save(signIn);
  }
}

/** What tokens need. */
export interface TokensOptions extends SignInOptions {
  store: TokenStore;
  serverClock: ServerClock;
}

function sessions(options: SignInOptions): Client<typeof SessionService> {
  return createClient(SessionService, createHttpTransport(options));
}

function toSignIn(answer: SignUpResponse | LogInResponse): SignIn {
  const { user, deviceId, tokens } = answer;
  const { userId, username, displayName } = user!;
  const owner = { userId, username, displayName, deviceId };
  return { ...owner, ...tokenFields(tokens!), ...edgeFields(answer) };
}

function edgeFields({ edges }: { edges: readonly Edge[] }): Pick<SignIn, "edgeUrls"> {
  return { edgeUrls: edges.map(({ url }) => url) };
}

function tokenFields(tokens: TokensMessage) {
  return {
    accessToken: tokens.accessToken,
    accessExpireTimeMs: timestampMs(tokens.accessExpireTime!),
    refreshToken: tokens.refreshToken,
    refreshExpireTimeMs: timestampMs(tokens.refreshExpireTime!),
  };
}

function signedOut(message: string): ConnectError {
  return sdkError("SIGNED_OUT", Code.Unauthenticated, message);
}
