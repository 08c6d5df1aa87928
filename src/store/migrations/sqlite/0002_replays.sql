CREATE TABLE replays (
    digest BLOB NOT NULL PRIMARY KEY,
    expires_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX replays_by_expires_at ON replays (expires_at);
