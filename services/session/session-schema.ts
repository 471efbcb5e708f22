import type { Migration } from "../../mesh/sql-migrations.ts";

/**
 * Session's tables. Names and addresses are unique without regard to case by indexes on `lower`;
 * queries fold with the same function, so that nothing else decides what is equal. Ids sort by
 * bytes, whatever the database's locale. Enums are the contract's numbers; `do_not_disturb` is the
 * contract's message, encoded. A device's `network` is where it signed in or was refreshed last; empty:
 * not known.
 */
export const sessionMigrations: readonly Migration[] = [
  {
    name: "0001_accounts",
    text: `
      CREATE TABLE users (
        user_id text COLLATE "C" PRIMARY KEY,
        username text NOT NULL,
        display_name text NOT NULL,
        email text,
        password_hash text NOT NULL,
        password_version integer NOT NULL DEFAULT 1,
        presence_audience integer NOT NULL DEFAULT 1,
        push_previews boolean NOT NULL DEFAULT true,
        create_time timestamptz NOT NULL
      );
      CREATE UNIQUE INDEX users_username_key ON users (lower(username));
      CREATE UNIQUE INDEX users_email_key ON users (lower(email));

      CREATE TABLE devices (
        device_id text COLLATE "C" PRIMARY KEY,
        user_id text COLLATE "C" NOT NULL REFERENCES users ON DELETE CASCADE,
        name text NOT NULL,
        create_time timestamptz NOT NULL,
        refresh_family_hash bytea NOT NULL UNIQUE,
        refresh_hash bytea NOT NULL,
        prev_refresh_hash bytea,
        refresh_salt bytea,
        last_refresh_time timestamptz NOT NULL,
        refresh_expire_time timestamptz NOT NULL
      );
      CREATE INDEX devices_by_user ON devices (user_id, create_time);

      CREATE TABLE friends (
        user_id text COLLATE "C" NOT NULL REFERENCES users ON DELETE CASCADE,
        friend_id text COLLATE "C" NOT NULL REFERENCES users ON DELETE CASCADE,
        state integer NOT NULL,
        change_time timestamptz NOT NULL,
        PRIMARY KEY (user_id, friend_id)
      );
      CREATE INDEX friends_by_friend ON friends (friend_id);

      CREATE TABLE unsent_revocations (
        revocation_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        user_id text NOT NULL,
        device_id text NOT NULL,
        issued_before timestamptz NOT NULL
      );

      CREATE TABLE signing_keys (
        generation integer PRIMARY KEY,
        key_id text NOT NULL UNIQUE,
        public_key bytea NOT NULL,
        private_key bytea NOT NULL,
        create_time timestamptz NOT NULL
      );
    `,
  },
  {
    name: "0002_push_tokens",
    text: `
      CREATE TABLE push_tokens (
        device_id text COLLATE "C" PRIMARY KEY REFERENCES devices ON DELETE CASCADE,
        address text COLLATE "C" NOT NULL UNIQUE,
        token bytea NOT NULL,
        register_time timestamptz NOT NULL
      );
    `,
  },
  {
    name: "0003_blocks_and_audiences",
    text: `
      CREATE TABLE blocks (
        user_id text COLLATE "C" NOT NULL REFERENCES users ON DELETE CASCADE,
        blocked_id text COLLATE "C" NOT NULL REFERENCES users ON DELETE CASCADE,
        create_time timestamptz NOT NULL,
        PRIMARY KEY (user_id, blocked_id)
      );
      CREATE INDEX blocks_by_blocked ON blocks (blocked_id);

      ALTER TABLE users
        ADD CHECK (presence_audience BETWEEN 1 AND 3),
        ADD last_seen_audience integer NOT NULL DEFAULT 1 CHECK (last_seen_audience BETWEEN 1 AND 3),
        ADD message_audience integer NOT NULL DEFAULT 1 CHECK (message_audience BETWEEN 1 AND 3),
        ADD group_add_audience integer NOT NULL DEFAULT 1 CHECK (group_add_audience BETWEEN 1 AND 3),
        ADD friend_request_audience integer NOT NULL DEFAULT 1
          CHECK (friend_request_audience IN (1, 3)),
        ADD do_not_disturb bytea;
    `,
  },
  {
    name: "0004_channel_mutes",
    text: `
      CREATE TABLE channel_mutes (
        user_id text COLLATE "C" NOT NULL REFERENCES users ON DELETE CASCADE,
        channel_id text COLLATE "C" NOT NULL,
        until_time timestamptz,
        PRIMARY KEY (user_id, channel_id)
      );
    `,
  },
  {
    name: "0005_networks_of_devices",
    text: `
      ALTER TABLE devices ADD network text NOT NULL DEFAULT '';
    `,
  },
];
