/** Checks of what callers send: each answers the value, or throws FIELD_INVALID. */
import { fieldInvalid } from "../../mesh/errors.ts";

/** The limits of the contract, in code points. */
const passwordLengthMin = 8;
/** No password is longer, in code points. */
export const passwordLengthMax = 256;
const nameLengthMax = 64;
const emailLengthMax = 254;

const idPattern = /^[a-z0-9]{16}$/;
const usernamePattern = /^[a-zA-Z0-9_.-]{3,32}$/;
const regionPattern = /^[a-zA-Z0-9_.-]{0,64}$/;
/** Something, one at sign, something; only the mail to it can tell more. */
const emailPattern = /^[^\s@]{1,64}@[^\s@]+$/;
/** PostgreSQL takes no NUL and UTF-8 no lone surrogate; the rest would break lines in lists. */
const unprintable = /[\p{Cc}\p{Cs}]/u;

/** Whether it may be an id. */
export function isId(value: string): boolean {
  return idPattern.test(value);
}

/** An id as all of them are. */
export function requireId(field: string, value: string): string {
  if (isId(value)) return value;
  throw fieldInvalid(field, `${shown(value)} is not 16 characters of a-z and 0-9`);
}

/** 1 to `max` ids. */
export function requireIds(field: string, values: readonly string[], max: number): void {
  requireCount(field, values, max);
  requireEach(field, values, requireId);
}

/** 1 to `max` values. */
export function requireCount(field: string, { length }: readonly string[], max: number): void {
  if (length < 1 || length > max) throw fieldInvalid(field, `${length} are not 1 to ${max}`);
}

/** Checks each value of a list by itself. */
export function requireEach(
  field: string,
  values: readonly string[],
  require: (field: string, value: string) => unknown,
): void {
  for (const [i, value] of values.entries()) require(`${field}[${i}]`, value);
}

/** A user name. */
export function requireUsername(field: string, value: string): string {
  if (usernamePattern.test(value)) return value;
  throw fieldInvalid(field, `${shown(value)} is not 3 to 32 of a-z, A-Z, 0-9, "_", "." and "-"`);
}

/** A name that people read. */
export function requireDisplayName(field: string, value: string): string {
  if (value.trim() === "") throw fieldInvalid(field, `${shown(value)} is blank`);
  return requireName(field, value);
}

/** A name that may be empty. */
export function requireName(field: string, value: string): string {
  requireText(field, value, nameLengthMax);
  return value;
}

/** The name of a region; empty: none. */
export function requireRegion(field: string, value: string): string {
  if (regionPattern.test(value)) return value;
  throw fieldInvalid(field, `${shown(value)} is not at most 64 of a-z, A-Z, 0-9, "_", "." and "-"`);
}

/** An address, or null for the empty text. */
export function requireEmail(field: string, value: string): string | null {
  if (value === "") return null;
  requireText(field, value, emailLengthMax);
  if (emailPattern.test(value)) return value;
  throw fieldInvalid(field, `${shown(value)} is not an address`);
}

/** A password to be set. */
export function requirePassword(field: string, value: string): string {
  const length = lengthOf(value);
  if (length < passwordLengthMin || length > passwordLengthMax) {
    const limits = `${passwordLengthMin} to ${passwordLengthMax}`;
    throw fieldInvalid(field, `${length} code points are not ${limits}`);
  }
  if (!value.isWellFormed()) throw fieldInvalid(field, "it is not well-formed Unicode");
  return value;
}

/** What a log-in may name: everything else is no account's. */
export function isLogin(value: string): boolean {
  return usernamePattern.test(value) || isEmail(value);
}

function isEmail(value: string): boolean {
  return emailPattern.test(value) && !unprintable.test(value) && value.length <= 2 * emailLengthMax;
}

function requireText(field: string, value: string, lengthMax: number): void {
  const length = lengthOf(value);
  if (length > lengthMax) {
    throw fieldInvalid(field, `${length} code points are more than ${lengthMax}`);
  }
  if (unprintable.test(value)) throw fieldInvalid(field, `${shown(value)} has control characters`);
}

/** Counts code points. */
function lengthOf(value: string): number {
  let length = 0;
  for (const _ of value) length++;
  return length;
}

/** A value in a message: quoted, and cut where it is long. */
function shown(value: string): string {
  return JSON.stringify(value.length > 64 ? `${value.slice(0, 64)}…` : value);
}
