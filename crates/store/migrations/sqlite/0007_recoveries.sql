-- What is given back to a ledger that is older than an audit log.

-- Recoveries, each with all that is known of it. While one has not ended, nothing is signed.
CREATE TABLE recoveries (
    number        INTEGER PRIMARY KEY,
    from_instance BLOB NOT NULL CHECK (length(from_instance) = 16), -- whose audit log
    ended         INTEGER,
    document      TEXT NOT NULL -- JSON
) STRICT;

CREATE UNIQUE INDEX recoveries_open ON recoveries (ended IS NULL) WHERE ended IS NULL;

CREATE TRIGGER recoveries_end_once BEFORE UPDATE ON recoveries WHEN OLD.ended IS NOT NULL
BEGIN SELECT RAISE(ABORT, 'a recovery ends once'); END;

-- When a serial was restored, and from whose audit log. NULL: the ledger allocated it itself.
ALTER TABLE serials ADD COLUMN restored INTEGER;
ALTER TABLE serials ADD COLUMN restored_from BLOB CHECK (length(restored_from) = 16);

-- 1: what became of its order is decided when the whole log was read. 2: so it is, and it was revoked before its
-- certificate came, which no order got therefore.
ALTER TABLE serials ADD COLUMN unsettled INTEGER NOT NULL DEFAULT 0 CHECK (unsettled IN (0, 1, 2));

CREATE INDEX serials_unsettled ON serials (row) WHERE unsettled > 0;
