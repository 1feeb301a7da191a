-- Stops of issuance are found by what they are for, however many stand; what is left of a key by an index of its own.

CREATE INDEX stops_open_by_scope ON stops (scope) WHERE ended IS NULL;

-- Of a stop of names, the name without its first label: what a wildcard is one for.
CREATE INDEX stops_open_by_parent
    ON stops (substr(scope ->> '$.name', instr(scope ->> '$.name', '.') + 1)) WHERE ended IS NULL;

CREATE INDEX stops_by_since ON stops (since);

CREATE INDEX serials_by_key_unrevoked ON serials (spki_hash) WHERE status <> 'revoked';

-- Keys that were blocked before blocks ended the account that has the key.
UPDATE accounts SET status = 'revoked'
WHERE status = 'valid' AND spki_hash IN (SELECT spki_hash FROM blocked_keys);
