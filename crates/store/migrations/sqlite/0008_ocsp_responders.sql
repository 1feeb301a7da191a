-- Certificates of delegated OCSP responders. What is to be signed is on record before it is.
CREATE TABLE ocsp_responders (
    row                 INTEGER PRIMARY KEY,
    serial              BLOB NOT NULL UNIQUE CHECK (length(serial) BETWEEN 1 AND 20),
    issuer              BLOB NOT NULL CHECK (length(issuer) = 32),
    spki_hash           BLOB NOT NULL CHECK (length(spki_hash) = 32),
    made                INTEGER NOT NULL,
    not_after           INTEGER NOT NULL,
    linting_certificate BLOB NOT NULL,
    certificate         BLOB
) STRICT;

CREATE TRIGGER ocsp_responders_stay BEFORE UPDATE ON ocsp_responders
WHEN OLD.certificate IS NOT NULL OR NEW.serial <> OLD.serial OR NEW.linting_certificate <> OLD.linting_certificate
BEGIN SELECT RAISE(ABORT, 'what may be signed, and what was, does not change'); END;
CREATE TRIGGER ocsp_responders_are_kept BEFORE DELETE ON ocsp_responders
BEGIN SELECT RAISE(ABORT, 'a serial is ours for ever'); END;
