-- Orders that are found again, the places of certificates, and rules for renewals.

-- The workbench: what was asked for, as a hash; NULL: no other request means this order.
ALTER TABLE active_orders ADD COLUMN likeness BLOB CHECK (length(likeness) = 32);

CREATE INDEX active_orders_alike ON active_orders (likeness) WHERE stage = 'testchallenge' AND likeness IS NOT NULL;

-- The ledger: which order takes the place of a serial's certificate (RFC 9773 section 5).
CREATE TABLE replacements (
    serial   INTEGER PRIMARY KEY REFERENCES serials (row),
    order_id BLOB NOT NULL CHECK (length(order_id) = 16)
) STRICT;

-- The ledger: rules that move suggested windows. The newest that is for a certificate counts.
CREATE TABLE renewal_rules (
    row       INTEGER PRIMARY KEY,
    made      INTEGER NOT NULL,
    serial    BLOB CHECK (length(serial) BETWEEN 1 AND 20), -- NULL: for more than one
    withdrawn INTEGER,
    scope     TEXT NOT NULL, -- JSON
    advice    TEXT NOT NULL  -- JSON
) STRICT;

CREATE INDEX renewal_rules_standing ON renewal_rules (serial) WHERE withdrawn IS NULL;
