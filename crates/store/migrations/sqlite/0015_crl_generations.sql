-- The number of CRL shards, and the URL that they stand under, may change: each serial is for ever in the generation of
-- shards that it was allocated in. All that are older are in the first.
ALTER TABLE serials ADD COLUMN crl_generation INTEGER NOT NULL DEFAULT 0; -- its first shard

CREATE TABLE crl_generations (
    first      INTEGER PRIMARY KEY CHECK (first BETWEEN 0 AND 65535),
    shards     INTEGER NOT NULL CHECK (shards BETWEEN 1 AND 65535 - first),
    status_url TEXT NOT NULL,
    since      INTEGER
) STRICT;

CREATE TABLE crl_generation_ends (
    first          INTEGER PRIMARY KEY,
    last_not_after INTEGER, -- when the last of its certificates ends
    ended          INTEGER  -- when its CRLs were needed no more
) STRICT;

INSERT INTO crl_generation_ends (first, last_not_after)
SELECT 0, max(not_after) FROM serials HAVING max(not_after) IS NOT NULL;

CREATE TRIGGER crl_generations_stay BEFORE UPDATE ON crl_generations
BEGIN SELECT RAISE(ABORT, 'certificates say what a generation of CRL shards is'); END;
CREATE TRIGGER crl_generations_are_kept BEFORE DELETE ON crl_generations
BEGIN SELECT RAISE(ABORT, 'a number of a CRL shard is used once'); END;

DROP INDEX serials_revoked_last;
CREATE INDEX serials_revoked_last ON serials (issuer, crl_generation, revoked_at, tail) WHERE status = 'revoked';
