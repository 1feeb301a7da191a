-- The ledger: when CRLs were replaced whose parts are still there, since they may be on their way to somebody.
CREATE TABLE replaced_crls (
    issuer   BLOB NOT NULL CHECK (length(issuer) = 32),
    shard    INTEGER NOT NULL,
    number   INTEGER NOT NULL,
    replaced INTEGER NOT NULL,
    PRIMARY KEY (issuer, shard, number)
) STRICT;
