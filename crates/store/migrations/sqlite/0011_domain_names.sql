-- The DNS names of serials, so that those below a domain are found by an index.

CREATE TABLE domain_names (
    reversed TEXT PRIMARY KEY -- labels from the last to the first, a dot behind each: com.example.www.
) STRICT, WITHOUT ROWID;
