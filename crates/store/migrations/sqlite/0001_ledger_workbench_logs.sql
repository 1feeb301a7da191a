-- The first schema: the ledger, the workbench and the built-in logs in one file.
--
-- Times are milliseconds since the Unix epoch. Ids are 16 octets, hashes 32, serials the contents octets of their DER
-- INTEGER. Tables that grow have integer keys, so that rows are added at the end; what is written once and large stands
-- in a table of its own, so that a change of status does not write it again.

PRAGMA application_id = 0x4341524e; -- "CARN"

CREATE TABLE migrations (
    number INTEGER PRIMARY KEY,
    name   TEXT NOT NULL,
    sha256 BLOB NOT NULL CHECK (length(sha256) = 32)
) STRICT;

-- The ledger: accounts ------------------------------------------------------------------------------------------------

CREATE TABLE accounts (
    row        INTEGER PRIMARY KEY,
    id         BLOB NOT NULL UNIQUE CHECK (length(id) = 16),
    thumbprint BLOB NOT NULL UNIQUE CHECK (length(thumbprint) = 32), -- RFC 7638
    key        TEXT NOT NULL, -- JWK
    status     TEXT NOT NULL CHECK (status IN ('valid', 'deactivated', 'revoked')),
    contact    TEXT NOT NULL, -- JSON list of URLs
    terms_of_service_agreed INTEGER NOT NULL CHECK (terms_of_service_agreed IN (0, 1)),
    created    INTEGER NOT NULL
) STRICT;

CREATE TRIGGER accounts_end_once BEFORE UPDATE OF status ON accounts
WHEN OLD.status <> 'valid' AND NEW.status <> OLD.status
BEGIN SELECT RAISE(ABORT, 'an account that has ended stays as it is'); END;

-- The JWS of newAccount and of each key change: what proves an account's key.
CREATE TABLE account_proofs (
    account INTEGER NOT NULL REFERENCES accounts (row),
    number  INTEGER NOT NULL,
    jws     BLOB NOT NULL,
    PRIMARY KEY (account, number)
) STRICT, WITHOUT ROWID;

CREATE TRIGGER account_proofs_stay BEFORE UPDATE ON account_proofs
BEGIN SELECT RAISE(ABORT, 'proofs are only added'); END;
CREATE TRIGGER account_proofs_are_kept BEFORE DELETE ON account_proofs
BEGIN SELECT RAISE(ABORT, 'proofs are only added'); END;

-- The ledger: authorizations that have ended --------------------------------------------------------------------------

CREATE TABLE authorizations (
    row      INTEGER PRIMARY KEY,
    order_id BLOB NOT NULL CHECK (length(order_id) = 16),
    number   INTEGER NOT NULL,
    account  BLOB NOT NULL CHECK (length(account) = 16),
    name     TEXT NOT NULL, -- the identifier, a wildcard with its star
    outcome  TEXT NOT NULL CHECK (outcome IN ('valid', 'invalid', 'deactivated', 'revoked')),
    expires  INTEGER,
    ended    INTEGER NOT NULL,
    document TEXT NOT NULL, -- JSON, with challenges and evidence; outcome, expires and ended count from the columns
    UNIQUE (order_id, number),
    CHECK ((outcome = 'valid') = (expires IS NOT NULL))
) STRICT;

CREATE INDEX authorizations_good ON authorizations (account, name, expires) WHERE outcome = 'valid';

CREATE TRIGGER authorizations_end_once BEFORE UPDATE OF outcome ON authorizations
WHEN OLD.outcome <> 'valid' AND NEW.outcome <> OLD.outcome OR NEW.outcome NOT IN ('valid', 'deactivated', 'revoked')
BEGIN SELECT RAISE(ABORT, 'the first end of an authorization wins'); END;

-- The ledger: orders with an issuance, or that ended in Issue ---------------------------------------------------------

CREATE TABLE orders (
    row       INTEGER PRIMARY KEY,
    id        BLOB NOT NULL UNIQUE CHECK (length(id) = 16),
    account   BLOB NOT NULL CHECK (length(account) = 16),
    issuances INTEGER NOT NULL CHECK (issuances >= 0), -- the number of the last one
    outcome   TEXT CHECK (outcome IN ('valid', 'invalid')),
    ended     INTEGER,
    serial    BLOB,
    failure   TEXT, -- JSON
    delivered    INTEGER,
    acknowledged INTEGER,
    CHECK ((outcome IS NULL) = (ended IS NULL)),
    CHECK ((outcome IS 'valid') = (serial IS NOT NULL)),
    CHECK ((outcome IS 'invalid') = (failure IS NOT NULL))
) STRICT;

CREATE INDEX orders_by_end ON orders (ended) WHERE ended IS NOT NULL;

CREATE TRIGGER orders_end_once BEFORE UPDATE OF outcome ON orders WHEN OLD.outcome IS NOT NULL
BEGIN SELECT RAISE(ABORT, 'the first end of an order wins'); END;

-- An order as it was when its first issuance began, or when it ended: with the finalize request as its client signed
-- it.
CREATE TABLE order_documents (
    order_row INTEGER PRIMARY KEY REFERENCES orders (row),
    document  TEXT NOT NULL -- JSON
) STRICT;

-- CAA checks made anew for an order.
CREATE TABLE rechecks (
    row      INTEGER PRIMARY KEY,
    order_id BLOB NOT NULL CHECK (length(order_id) = 16),
    document TEXT NOT NULL -- JSON
) STRICT;

CREATE INDEX rechecks_by_order ON rechecks (order_id);

-- The ledger: serials, one for each issuance --------------------------------------------------------------------------

CREATE TABLE serials (
    row          INTEGER PRIMARY KEY,
    serial       BLOB NOT NULL UNIQUE CHECK (length(serial) BETWEEN 1 AND 20),
    tail         INTEGER NOT NULL, -- the last four octets as a number: CRL shards are its remainders
    order_row    INTEGER NOT NULL REFERENCES orders (row),
    number       INTEGER NOT NULL CHECK (number >= 1),
    account      BLOB NOT NULL CHECK (length(account) = 16),
    status       TEXT NOT NULL CHECK (status IN ('wait', 'good', 'revoked')),
    given_up     INTEGER NOT NULL CHECK (given_up IN (0, 1)), -- a newer issuance, or the end of the order, came first
    ct           INTEGER NOT NULL CHECK (ct IN (0, 1)),
    issuer       BLOB NOT NULL CHECK (length(issuer) = 32),
    profile      TEXT NOT NULL,
    profile_hash BLOB NOT NULL CHECK (length(profile_hash) = 32),
    spki_hash    BLOB NOT NULL CHECK (length(spki_hash) = 32),
    begun        INTEGER NOT NULL,
    good         INTEGER,
    stored       INTEGER,
    not_after    INTEGER NOT NULL,
    revoked      INTEGER, -- the date of the revocation
    reason       INTEGER, -- CRLReason
    revoked_by   TEXT,
    revoked_at   INTEGER, -- when that was written, or last changed
    UNIQUE (order_row, number),
    CHECK ((status = 'revoked') = (revoked IS NOT NULL)),
    CHECK ((status = 'revoked') = (reason IS NOT NULL)),
    CHECK (status <> 'good' OR good IS NOT NULL),
    CHECK (status <> 'wait' OR (good IS NULL AND stored IS NULL))
) STRICT;

CREATE INDEX serials_by_account ON serials (account);
CREATE INDEX serials_by_key ON serials (spki_hash);
CREATE INDEX serials_abandoned ON serials (row) WHERE given_up = 1 AND status <> 'revoked';
CREATE INDEX serials_revoked ON serials (issuer, length(serial), serial) WHERE status = 'revoked';
CREATE INDEX serials_revoked_last ON serials (issuer, revoked_at, tail) WHERE status = 'revoked';

CREATE TRIGGER serials_status BEFORE UPDATE OF status ON serials
WHEN NOT (OLD.status = NEW.status OR OLD.status = 'wait' OR (OLD.status = 'good' AND NEW.status = 'revoked'))
BEGIN SELECT RAISE(ABORT, 'a status moves from wait to good to revoked only'); END;
CREATE TRIGGER serials_are_kept BEFORE DELETE ON serials
BEGIN SELECT RAISE(ABORT, 'a serial is ours for ever'); END;

CREATE TABLE serial_names (
    name   TEXT NOT NULL,
    serial INTEGER NOT NULL REFERENCES serials (row),
    PRIMARY KEY (name, serial)
) STRICT, WITHOUT ROWID;

-- The exact TBS that a signature may exist over, signed by a throwaway key.
CREATE TABLE linting_certificates (
    serial INTEGER PRIMARY KEY REFERENCES serials (row),
    der    BLOB NOT NULL
) STRICT;

CREATE TRIGGER linting_certificates_stay BEFORE UPDATE ON linting_certificates
BEGIN SELECT RAISE(ABORT, 'what may be signed does not change'); END;

CREATE TABLE certificates (
    serial INTEGER PRIMARY KEY REFERENCES serials (row),
    der    BLOB NOT NULL
) STRICT;

CREATE TRIGGER certificates_stay BEFORE UPDATE ON certificates
BEGIN SELECT RAISE(ABORT, 'a certificate does not change'); END;

-- The ledger: all else ------------------------------------------------------------------------------------------------

CREATE TABLE blocked_keys (
    spki_hash  BLOB PRIMARY KEY CHECK (length(spki_hash) = 32),
    blocked    INTEGER NOT NULL,
    blocked_by TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE crl_numbers (
    issuer    BLOB NOT NULL CHECK (length(issuer) = 32),
    shard     INTEGER NOT NULL,
    allocated INTEGER NOT NULL,
    PRIMARY KEY (issuer, shard)
) STRICT, WITHOUT ROWID;

CREATE TRIGGER crl_numbers_grow BEFORE UPDATE ON crl_numbers WHEN NEW.allocated <= OLD.allocated
BEGIN SELECT RAISE(ABORT, 'CRL numbers grow'); END;

CREATE TABLE crls (
    issuer      BLOB NOT NULL CHECK (length(issuer) = 32),
    shard       INTEGER NOT NULL,
    number      INTEGER NOT NULL,
    this_update INTEGER NOT NULL,
    next_update INTEGER NOT NULL,
    der         BLOB NOT NULL,
    PRIMARY KEY (issuer, shard)
) STRICT;

CREATE TABLE authorities (
    id  BLOB PRIMARY KEY CHECK (length(id) = 32),
    der BLOB NOT NULL
) STRICT;

CREATE TABLE audit_marks (
    instance BLOB PRIMARY KEY CHECK (length(instance) = 16),
    sequence INTEGER NOT NULL,
    chain    BLOB NOT NULL CHECK (length(chain) = 32)
) STRICT, WITHOUT ROWID;

-- How many records there are: one row, written with what it counts.
CREATE TABLE ledger_counts (
    row          INTEGER PRIMARY KEY CHECK (row = 1),
    accounts     INTEGER NOT NULL,
    wait         INTEGER NOT NULL,
    good         INTEGER NOT NULL,
    revoked      INTEGER NOT NULL,
    abandoned    INTEGER NOT NULL,
    valid        INTEGER NOT NULL,
    invalid      INTEGER NOT NULL,
    delivered    INTEGER NOT NULL,
    acknowledged INTEGER NOT NULL
) STRICT;

INSERT INTO ledger_counts VALUES (1, 0, 0, 0, 0, 0, 0, 0, 0, 0);

-- The workbench -------------------------------------------------------------------------------------------------------

CREATE TABLE active_orders (
    row      INTEGER PRIMARY KEY,
    id       BLOB NOT NULL UNIQUE CHECK (length(id) = 16),
    account  BLOB NOT NULL CHECK (length(account) = 16),
    stage    TEXT NOT NULL CHECK (stage IN ('makechallenge', 'testchallenge', 'issue', 'done')),
    -- NULL: nowhere, what only a fault or a hand can bring about, and what the sweep mends.
    place    TEXT CHECK (place IN ('queue', 'lease', 'park', 'client', 'pending-done')),
    -- The number in the queue; when the lease runs out; when the park is over; when the order ended.
    turn     INTEGER,
    since    INTEGER NOT NULL, -- when it came to this place
    claims   INTEGER NOT NULL, -- in this stage
    lease_token  BLOB CHECK (length(lease_token) = 16),
    lease_holder BLOB CHECK (length(lease_holder) = 16),
    deadline     INTEGER, -- when it dies where it now stands
    outcome      TEXT CHECK (outcome IN ('valid', 'invalid')),
    delivered    INTEGER,
    document TEXT NOT NULL, -- JSON: the order
    CHECK ((place IS 'lease') = (lease_token IS NOT NULL)),
    CHECK ((place IS 'lease') = (lease_holder IS NOT NULL))
) STRICT;

CREATE INDEX active_orders_by_place ON active_orders (place, stage, turn);
CREATE INDEX active_orders_by_deadline ON active_orders (deadline) WHERE deadline IS NOT NULL;
CREATE INDEX active_orders_ended ON active_orders (outcome, turn, delivered) WHERE place = 'pending-done';

-- The built-in logs ---------------------------------------------------------------------------------------------------

CREATE TABLE ct_logs (
    row    INTEGER PRIMARY KEY,
    log_id BLOB NOT NULL UNIQUE CHECK (length(log_id) = 32)
) STRICT;

-- The certificates above a precertificate: few, and the same for all.
CREATE TABLE ct_chains (
    row    INTEGER PRIMARY KEY,
    sha256 BLOB NOT NULL UNIQUE CHECK (length(sha256) = 32),
    certificates BLOB NOT NULL -- each with its length in three octets before it
) STRICT;

-- What was logged: once, however many logs have it.
CREATE TABLE ct_entries (
    row             INTEGER PRIMARY KEY,
    identity        BLOB NOT NULL UNIQUE CHECK (length(identity) = 32),
    issuer_key_hash BLOB NOT NULL CHECK (length(issuer_key_hash) = 32),
    chain           INTEGER NOT NULL REFERENCES ct_chains (row),
    tbs             BLOB NOT NULL,
    precertificate  BLOB NOT NULL
) STRICT;

CREATE TABLE ct_leaves (
    log       INTEGER NOT NULL REFERENCES ct_logs (row),
    leaf      INTEGER NOT NULL CHECK (leaf >= 0),
    timestamp INTEGER NOT NULL,
    entry     INTEGER NOT NULL REFERENCES ct_entries (row),
    PRIMARY KEY (log, leaf)
) STRICT, WITHOUT ROWID;

CREATE UNIQUE INDEX ct_leaves_by_entry ON ct_leaves (entry, log);

CREATE TRIGGER ct_leaves_stay BEFORE UPDATE ON ct_leaves
BEGIN SELECT RAISE(ABORT, 'a log only grows'); END;
CREATE TRIGGER ct_leaves_are_kept BEFORE DELETE ON ct_leaves
BEGIN SELECT RAISE(ABORT, 'a log only grows'); END;

-- Hashes of complete subtrees; level 0 are the leaves' own.
CREATE TABLE ct_nodes (
    log    INTEGER NOT NULL REFERENCES ct_logs (row),
    level  INTEGER NOT NULL,
    number INTEGER NOT NULL,
    hash   BLOB NOT NULL CHECK (length(hash) = 32),
    PRIMARY KEY (log, level, number)
) STRICT, WITHOUT ROWID;

CREATE TABLE ct_leaf_hashes (
    hash BLOB NOT NULL CHECK (length(hash) = 32),
    log  INTEGER NOT NULL REFERENCES ct_logs (row),
    leaf INTEGER NOT NULL,
    PRIMARY KEY (hash, log)
) STRICT, WITHOUT ROWID;

CREATE TABLE ct_tree_heads (
    log       INTEGER NOT NULL REFERENCES ct_logs (row),
    size      INTEGER NOT NULL,
    timestamp INTEGER NOT NULL,
    root      BLOB NOT NULL CHECK (length(root) = 32),
    signature BLOB NOT NULL,
    PRIMARY KEY (log, size)
) STRICT, WITHOUT ROWID;
