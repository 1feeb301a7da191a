-- Accounts: key changes, versions of the terms, external account binding, lists of orders.

-- From when on the key of this proof was the account's. NULL: that of newAccount, from when the account was made.
ALTER TABLE account_proofs ADD COLUMN since INTEGER;

-- Which version of the terms was agreed to last. NULL: one that had no version, or none.
ALTER TABLE accounts ADD COLUMN terms_version TEXT;

-- Versions of the terms that this CA has asked accounts to agree to, in the order in which they were configured.
CREATE TABLE terms_versions (
    row     INTEGER PRIMARY KEY,
    version TEXT NOT NULL UNIQUE,
    since   INTEGER NOT NULL
) STRICT;

-- Keys that the operator gave out for external account binding (RFC 8555 §7.3.4).
CREATE TABLE external_account_keys (
    row       INTEGER PRIMARY KEY,
    kid       TEXT NOT NULL UNIQUE,
    mac_key   BLOB NOT NULL,
    created   INTEGER NOT NULL,
    expires   INTEGER,
    uses_left INTEGER CHECK (uses_left >= 0), -- NULL: unlimited
    accounts  INTEGER NOT NULL DEFAULT 0,     -- how many were bound with it
    names     TEXT NOT NULL,                  -- JSON list of the names that their orders may have; empty: all
    label     TEXT NOT NULL,
    revoked   INTEGER
) STRICT;

CREATE TRIGGER external_account_keys_stay BEFORE UPDATE OF kid, mac_key, names ON external_account_keys
BEGIN SELECT RAISE(ABORT, 'what was given out does not change'); END;
CREATE TRIGGER external_account_keys_are_kept BEFORE DELETE ON external_account_keys
BEGIN SELECT RAISE(ABORT, 'accounts refer to it'); END;

-- The key that an account was bound with.
ALTER TABLE accounts ADD COLUMN external_key TEXT;

-- Lists of an account's orders, the newest first (RFC 8555 §7.1.2.1). No column of these indexes ever changes.
ALTER TABLE orders ADD COLUMN created INTEGER NOT NULL DEFAULT 0;
UPDATE orders SET created = coalesce(
    (SELECT document ->> '$.created' FROM order_documents WHERE order_row = orders.row), 0);
CREATE INDEX orders_of_account ON orders (account, created, id);

ALTER TABLE active_orders ADD COLUMN created INTEGER NOT NULL DEFAULT 0;
UPDATE active_orders SET created = coalesce(document ->> '$.created', 0);
CREATE INDEX active_orders_of_account ON active_orders (account, created, id);
