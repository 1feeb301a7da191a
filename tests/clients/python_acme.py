"""What python_acme.sh does with certbot's library `acme`: the account is kept in the working folder."""
import os
import pathlib
import sys

import josepy
from acme import challenges, client, messages
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

KEY = pathlib.Path("account.pem")
ACCOUNT = pathlib.Path("account.json")


def pem(key):
    form = serialization.PrivateFormat.PKCS8
    return key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())


def connection():
    """A client with the account's key, and the account if there is one already."""
    if not KEY.exists():
        KEY.write_bytes(pem(rsa.generate_private_key(public_exponent=65537, key_size=2048)))
    key = josepy.JWKRSA.load(KEY.read_bytes())
    account = messages.RegistrationResource.json_loads(ACCOUNT.read_text()) if ACCOUNT.exists() else None
    network = client.ClientNetwork(key, account=account, user_agent="python-acme")
    directory = client.ClientV2.get_directory(os.environ["DIRECTORY"], network)
    return client.ClientV2(directory, network), key


def register():
    acme, _ = connection()
    wish = messages.NewRegistration.from_data(email="tests@example.org", terms_of_service_agreed=True)
    ACCOUNT.write_text(acme.new_account(wish).json_dumps())


def contact(url):
    acme, _ = connection()
    account = acme.net.account
    changed = acme.update_registration(account, account.body.update(contact=(url,)))
    assert changed.body.contact == (url,), changed.body.contact
    assert acme.query_registration(account).body.contact == (url,)


def obtain(file, *names):
    acme, account_key = connection()
    key = ec.generate_private_key(ec.SECP256R1())
    extension = x509.SubjectAlternativeName([x509.DNSName(name) for name in names])
    request = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).add_extension(extension, False)
    csr = request.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
    order = acme.new_order(csr)
    for authorization in order.authorizations:
        [challenge] = [c for c in authorization.body.challenges if isinstance(c.chall, challenges.HTTP01)]
        response, validation = challenge.response_and_validation(account_key)
        pathlib.Path("www" + challenge.chall.path).write_text(validation)
        if authorization.body.status == messages.STATUS_PENDING:
            acme.answer_challenge(challenge, response)
    pathlib.Path(file).write_text(acme.poll_and_finalize(order).fullchain_pem)


def revoke(file, reason):
    acme, _ = connection()
    certificate = x509.load_pem_x509_certificate(pathlib.Path(file).read_bytes())
    if hasattr(josepy, "ComparableX509"):  # releases before 4 take pyOpenSSL's objects
        from OpenSSL import crypto

        certificate = josepy.ComparableX509(crypto.X509.from_cryptography(certificate))
    acme.revoke(certificate, int(reason))


def deactivate():
    acme, _ = connection()
    ended = acme.deactivate_registration(acme.net.account)
    assert ended.body.status == "deactivated", ended.body.status


ACTIONS = {action.__name__: action for action in (register, contact, obtain, revoke, deactivate)}
ACTIONS[sys.argv[1]](*sys.argv[2:])
