/** How long streams keep their entries when nobody trims them. */

/** What one stream keeps; what goes beyond is removed on append, the oldest first. */
export interface Retention {
  /** Entries of one subject; Infinity: no limit. */
  entriesPerSubjectMax: number;
  /** An entry older than this may be removed; Infinity: none is. */
  ageMaxMs: number;
}

/** What each of the streams keeps. */
export interface StreamsRetention {
  log: Retention;
  inbox: Retention;
  revocations: Retention;
}

const hourMs = 3_600_000;

/**
 * Logs lose nothing but by `trim`: an age limit would remove what no worker has done yet.
 * Inboxes: DESIGN section 5. Revocations outlive every access token, which lives minutes.
 */
export const defaultRetention: StreamsRetention = {
  log: { entriesPerSubjectMax: Number.POSITIVE_INFINITY, ageMaxMs: Number.POSITIVE_INFINITY },
  inbox: { entriesPerSubjectMax: 5_000, ageMaxMs: 30 * 24 * hourMs },
  revocations: { entriesPerSubjectMax: Number.POSITIVE_INFINITY, ageMaxMs: hourMs },
};
