import type { CassandraSchema } from "../../../mesh/cassandra-schema.ts";

/**
 * The message store's tables. Rows are written with their sequence as their timestamp
 * (`USING TIMESTAMP`), so that Cassandra itself keeps the newer of two; each write sets every
 * column, so that no row is ever a mixture. Nothing is deleted: a deletion would carry the time of
 * day as its timestamp and hide whatever is written there for ever after.
 */
export const messageSchema: CassandraSchema = {
  part: "message",
  steps: [
    {
      name: "0001_messages",
      statements: [
        // message: a parley.message.v1.Message without its body; body: the body, in the same form.
        // Edits and deletion replace the body alone: each column has a timestamp of its own.
        // reactions: by "emoji user" the sequence of what gave it; negative: of what took it back.
        // See message-store-cassandra-buckets.ts for bucket.
        `CREATE TABLE IF NOT EXISTS messages (
          channel_id text, bucket int, message_id bigint, message blob, body blob,
          reactions map<text, bigint>,
          PRIMARY KEY ((channel_id, bucket), message_id)
        ) WITH id = ':id' AND CLUSTERING ORDER BY (message_id DESC)
          AND compaction = {'class': 'UnifiedCompactionStrategy'}`,
        // The buckets that have rows.
        `CREATE TABLE IF NOT EXISTS buckets_by_channel (
          channel_id text, bucket int,
          PRIMARY KEY (channel_id, bucket)
        ) WITH id = ':id' AND CLUSTERING ORDER BY (bucket DESC)`,
        // See message-store-cassandra-splits.ts. Written in lightweight transactions alone; a
        // partition each, as those of one partition get into each other's way.
        `CREATE TABLE IF NOT EXISTS splits (
          channel_id text, bucket int, split_sequence bigint,
          PRIMARY KEY ((channel_id, bucket))
        ) WITH id = ':id'`,
        // The revisions of a channel, a hundred thousand sequences to a partition.
        `CREATE TABLE IF NOT EXISTS revisions_by_channel (
          channel_id text, part int, channel_sequence bigint, message_id bigint,
          PRIMARY KEY ((channel_id, part), channel_sequence)
        ) WITH id = ':id'`,
        // See message-store-cassandra-sends.ts. Both expire by themselves, in the order of writing:
        // whole files are dropped. What has expired has on every replica, so that repairs don't
        // need it for long.
        `CREATE TABLE IF NOT EXISTS sends_by_bucket (
          channel_id text, bucket int, sender_id text, client_message_id text, placement blob,
          PRIMARY KEY ((channel_id, bucket), sender_id, client_message_id)
        ) WITH id = ':id' AND default_time_to_live = 2592000 AND gc_grace_seconds = 86400
          AND compaction = {'class': 'TimeWindowCompactionStrategy',
            'compaction_window_unit': 'DAYS', 'compaction_window_size': '1'}`,
        `CREATE TABLE IF NOT EXISTS sends_by_client_id (
          channel_id text, sender_id text, client_message_id text, placement blob,
          PRIMARY KEY ((channel_id, sender_id, client_message_id))
        ) WITH id = ':id' AND default_time_to_live = 2592000 AND gc_grace_seconds = 86400
          AND compaction = {'class': 'TimeWindowCompactionStrategy',
            'compaction_window_unit': 'DAYS', 'compaction_window_size': '1'}`,
        // channel: a parley.message.v1.Channel.
        `CREATE TABLE IF NOT EXISTS channels (
          channel_id text PRIMARY KEY,
          channel blob, sequence bigint, log_sequence bigint, max_client_time_ms bigint
        ) WITH id = ':id'`,
        // Every stay; left_sequence 0: it has not ended.
        `CREATE TABLE IF NOT EXISTS members_by_channel (
          channel_id text, user_id text, joined_sequence bigint,
          left_sequence bigint, role int, join_time_ms bigint, sequence bigint,
          PRIMARY KEY (channel_id, user_id, joined_sequence)
        ) WITH id = ':id'`,
        // The same stays the other way round.
        `CREATE TABLE IF NOT EXISTS channels_by_user (
          user_id text, channel_id text, joined_sequence bigint, left_sequence bigint,
          PRIMARY KEY (user_id, channel_id, joined_sequence)
        ) WITH id = ':id'`,
        // See message-store-cassandra-cursors.ts.
        `CREATE TABLE IF NOT EXISTS cursors (
          user_id text, device_id text, visit bigint, inbox_epoch text,
          inbox_sequence bigint, cur_max_message_id bigint,
          PRIMARY KEY ((user_id, device_id), visit, inbox_epoch)
        ) WITH id = ':id' AND CLUSTERING ORDER BY (visit DESC, inbox_epoch DESC)`,
      ],
    },
    {
      name: "0002_access",
      statements: [
        // access: a parley.log.v1.ChannelAccess.
        `CREATE TABLE IF NOT EXISTS access_by_channel (
          channel_id text PRIMARY KEY, access blob, sequence bigint
        ) WITH id = ':id'`,
      ],
    },
    {
      name: "0003_member_cursors",
      statements: [
        // See message-store-cassandra-member-cursors.ts.
        `CREATE TABLE IF NOT EXISTS cursors_by_channel (
          channel_id text, user_id text,
          delivered_message_id bigint, delivered_time_ms bigint,
          read_message_id bigint, read_message_number bigint, read_time_ms bigint,
          PRIMARY KEY (channel_id, user_id)
        ) WITH id = ':id'`,
      ],
    },
  ],
};
