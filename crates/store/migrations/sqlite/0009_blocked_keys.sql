-- Blocked keys: whether all their serials are revoked, and which account has such a key.

-- When a worker found that none was left to be revoked. NULL: there may be some.
ALTER TABLE blocked_keys ADD COLUMN settled INTEGER;

CREATE INDEX blocked_keys_unsettled ON blocked_keys (spki_hash) WHERE settled IS NULL;

-- SHA-256 of the key's SubjectPublicKeyInfo, by which keys are blocked. NULL: the key can't be read. That of accounts
-- that are there already is filled in by the migration's second half, since it has to be computed.
ALTER TABLE accounts ADD COLUMN spki_hash BLOB CHECK (length(spki_hash) = 32);

CREATE INDEX accounts_by_spki_hash ON accounts (spki_hash);
