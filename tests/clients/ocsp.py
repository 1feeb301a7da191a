"""What Python's cryptography reads in an OCSP answer: ocsp.py ANSWER CERTIFICATE ISSUER STATUS SIGNER."""

import sys

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, padding
from cryptography.x509 import ocsp
from cryptography.x509.oid import ExtendedKeyUsageOID

answer, certificate, issuer, status, signer = sys.argv[1:]
answer = ocsp.load_der_ocsp_response(open(answer, "rb").read())
certificate = x509.load_pem_x509_certificate(open(certificate, "rb").read())
issuer = x509.load_pem_x509_certificate(open(issuer, "rb").read())


def verify(key, signature, tbs, digest):
    if isinstance(key, ec.EllipticCurvePublicKey):
        key.verify(signature, tbs, ec.ECDSA(digest))
    else:
        key.verify(signature, tbs, padding.PKCS1v15(), digest)


if status == "unauthorized":
    assert answer.response_status == ocsp.OCSPResponseStatus.UNAUTHORIZED
    sys.exit()
assert answer.response_status == ocsp.OCSPResponseStatus.SUCCESSFUL
assert answer.certificate_status == getattr(ocsp.OCSPCertStatus, status.upper()), answer.certificate_status
assert answer.serial_number == certificate.serial_number
if signer == "delegated":
    (by,) = answer.certificates
    verify(issuer.public_key(), by.signature, by.tbs_certificate_bytes, by.signature_hash_algorithm)
    purposes = by.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(purposes) == [ExtendedKeyUsageOID.OCSP_SIGNING]
    by.extensions.get_extension_for_class(x509.OCSPNoCheck)
else:
    assert not answer.certificates
    by = issuer
verify(by.public_key(), answer.signature, answer.tbs_response_bytes, answer.signature_hash_algorithm)
assert answer.responder_key_hash == x509.SubjectKeyIdentifier.from_public_key(by.public_key()).digest
if status == "revoked":
    assert answer.revocation_reason == x509.ReasonFlags.superseded
