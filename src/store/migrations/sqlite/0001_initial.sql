CREATE TABLE feed (
    id INTEGER NOT NULL PRIMARY KEY CHECK (id = 1),
    incarnation TEXT NOT NULL,
    sequence INTEGER NOT NULL,
    known_after INTEGER NOT NULL
) STRICT;

CREATE TABLE changes (
    sequence INTEGER NOT NULL PRIMARY KEY,
    kind TEXT NOT NULL,
    subject TEXT NOT NULL
) STRICT;

CREATE TABLE clients (
    client_id TEXT NOT NULL PRIMARY KEY,
    enabled INTEGER NOT NULL,
    document TEXT NOT NULL,
    revision INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    request_id TEXT UNIQUE
) STRICT;

CREATE INDEX clients_by_created_at ON clients (created_at, client_id);

CREATE TABLE secret_uses (
    client_id TEXT NOT NULL,
    secret_id TEXT NOT NULL,
    used_at INTEGER NOT NULL,
    PRIMARY KEY (client_id, secret_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE signing_keys (
    kid TEXT NOT NULL PRIMARY KEY,
    alg TEXT NOT NULL,
    generation INTEGER NOT NULL,
    sealed BLOB NOT NULL,
    created_at INTEGER NOT NULL,
    publish_at INTEGER,
    activate_at INTEGER,
    retired_at INTEGER,
    revoked_at INTEGER,
    destroyed_at INTEGER,
    revision INTEGER NOT NULL,
    UNIQUE (alg, generation)
) STRICT;

CREATE TABLE sealed_values (
    name TEXT NOT NULL PRIMARY KEY,
    sealed BLOB NOT NULL
) STRICT;

CREATE TABLE revocations (
    kind TEXT NOT NULL,
    subject TEXT NOT NULL,
    sequence INTEGER NOT NULL UNIQUE,
    issued_until INTEGER NOT NULL,
    revoked_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    PRIMARY KEY (kind, subject)
) STRICT, WITHOUT ROWID;

CREATE INDEX revocations_by_expires_at ON revocations (expires_at);
