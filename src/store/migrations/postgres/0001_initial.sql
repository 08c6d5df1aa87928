CREATE TABLE feed (
    id BIGINT NOT NULL PRIMARY KEY CHECK (id = 1),
    incarnation TEXT NOT NULL,
    sequence BIGINT NOT NULL,
    known_after BIGINT NOT NULL
);

CREATE TABLE changes (
    sequence BIGINT NOT NULL PRIMARY KEY,
    kind TEXT NOT NULL,
    subject TEXT NOT NULL
);

CREATE TABLE clients (
    client_id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    enabled BIGINT NOT NULL,
    document TEXT NOT NULL,
    revision BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    request_id TEXT UNIQUE
);

CREATE INDEX clients_by_created_at ON clients (created_at, client_id);

CREATE TABLE secret_uses (
    client_id TEXT COLLATE "C" NOT NULL,
    secret_id TEXT NOT NULL,
    used_at BIGINT NOT NULL,
    PRIMARY KEY (client_id, secret_id)
);

CREATE TABLE signing_keys (
    kid TEXT NOT NULL PRIMARY KEY,
    alg TEXT NOT NULL,
    generation BIGINT NOT NULL,
    sealed BYTEA NOT NULL,
    created_at BIGINT NOT NULL,
    publish_at BIGINT,
    activate_at BIGINT,
    retired_at BIGINT,
    revoked_at BIGINT,
    destroyed_at BIGINT,
    revision BIGINT NOT NULL,
    UNIQUE (alg, generation)
);

CREATE TABLE sealed_values (
    name TEXT NOT NULL PRIMARY KEY,
    sealed BYTEA NOT NULL
);

CREATE TABLE revocations (
    kind TEXT NOT NULL,
    subject TEXT NOT NULL,
    sequence BIGINT NOT NULL UNIQUE,
    issued_until BIGINT NOT NULL,
    revoked_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    PRIMARY KEY (kind, subject)
);

CREATE INDEX revocations_by_expires_at ON revocations (expires_at);
