//! Looking inside: orders, queues, certificates, the audit log and the invariants, on a live or a stopped store.
