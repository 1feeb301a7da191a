#!/usr/bin/env python3
"""Verifies the SCTs embedded in a certificate (RFC 6962 section 3.2).

  verify_scts.py CHAIN LOGS NUMBER

CHAIN: PEM, the certificate first, then its issuer. LOGS: a log list (version 3). NUMBER: so many logs are expected.
"""
import base64
import hashlib
import json
import re
import struct
import sys
import time

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

chain, list_file, number = sys.argv[1:]
with open(chain, encoding="ascii") as file:
    blocks = re.findall(r"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----\n", file.read(), re.DOTALL)
certificate, issuer = (x509.load_pem_x509_certificate(block.encode()) for block in blocks[:2])
with open(list_file, encoding="utf-8") as file:
    operators = json.load(file)["operators"]
keys = {}
for log in (log for operator in operators for log in operator["logs"]):
    der = base64.b64decode(log["key"])
    keys[hashlib.sha256(der).digest()] = serialization.load_der_public_key(der)

issuer_key = issuer.public_key().public_bytes(
    serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
)
tbs = certificate.tbs_precertificate_bytes
precert_entry = struct.pack(">H", 1) + hashlib.sha256(issuer_key).digest() + len(tbs).to_bytes(3, "big") + tbs
scts = certificate.extensions.get_extension_for_class(x509.PrecertificateSignedCertificateTimestamps)
assert not scts.critical, "the list of SCTs is critical"
for sct in scts.value:
    seconds = (sct.timestamp - sct.timestamp.__class__(1970, 1, 1)).total_seconds()
    assert seconds <= time.time() + 1, f"{sct.timestamp} lies in the future"
    # version v1, signature type certificate_timestamp, and the extensions with their length
    signed = struct.pack(">BBQ", 0, 0, round(seconds * 1000)) + precert_entry
    signed += struct.pack(">H", len(sct.extension_bytes)) + sct.extension_bytes
    keys[sct.log_id].verify(sct.signature, signed, ec.ECDSA(hashes.SHA256()))  # raises what it finds wrong
    print(f"SCT of log {sct.log_id.hex()[:16]} at {sct.timestamp} verified")
logs = {sct.log_id for sct in scts.value}
assert len(logs) == len(scts.value) == int(number), f"{len(scts.value)} SCTs of {len(logs)} logs, expected {number}"
