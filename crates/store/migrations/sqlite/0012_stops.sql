-- Stops of issuance.
CREATE TABLE stops (
    number     INTEGER PRIMARY KEY,
    scope      TEXT NOT NULL, -- a document
    reason     TEXT NOT NULL,
    stopped_by TEXT NOT NULL,
    since      INTEGER NOT NULL,
    ended      INTEGER -- NULL: it stands
) STRICT;

CREATE INDEX stops_open ON stops (ended) WHERE ended IS NULL;
