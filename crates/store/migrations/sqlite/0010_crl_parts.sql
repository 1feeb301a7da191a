-- The ledger: the entries of CRLs, in parts. CRLs of before are forgotten: the next start makes new ones, with numbers
-- above theirs.
DROP TABLE crls;

CREATE TABLE crls (
    issuer       BLOB NOT NULL CHECK (length(issuer) = 32),
    shard        INTEGER NOT NULL,
    number       INTEGER NOT NULL,
    this_update  INTEGER NOT NULL,
    next_update  INTEGER NOT NULL,
    head         BLOB NOT NULL, -- what stands before the entries
    entries      INTEGER NOT NULL,
    entry_octets INTEGER NOT NULL,
    tail         BLOB NOT NULL, -- what stands behind them, the signature at the end
    sha256       BLOB NOT NULL CHECK (length(sha256) = 32),
    PRIMARY KEY (issuer, shard)
) STRICT;

-- Of a CRL that is being made, of the last one, and of the one before.
CREATE TABLE crl_parts (
    issuer BLOB NOT NULL CHECK (length(issuer) = 32),
    shard  INTEGER NOT NULL,
    number INTEGER NOT NULL,
    part   INTEGER NOT NULL,
    octets BLOB NOT NULL,
    PRIMARY KEY (issuer, shard, number, part)
) STRICT;
