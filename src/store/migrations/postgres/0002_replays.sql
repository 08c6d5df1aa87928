CREATE TABLE replays (
    digest BYTEA NOT NULL PRIMARY KEY,
    expires_at BIGINT NOT NULL
);

CREATE INDEX replays_by_expires_at ON replays (expires_at);
