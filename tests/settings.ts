import { cheapPasswords } from "./parley-process.ts";

/** Settings of every Parley that is tested on both back ends: times that are soon over. */
export const settings: Readonly<Record<string, string>> = {
  ...cheapPasswords,
  PARLEY_PRESENCE_GRACE_MS: "2000",
  PARLEY_PUSH_DELAY_MS: "3000",
  PARLEY_PUSH_ONLINE_DELAY_MS: "5000",
  PARLEY_PRESENCE_BEAT_INTERVAL_MS: "300",
  PARLEY_PRESENCE_FRIENDS_MAX_AGE_MS: "0",
};
