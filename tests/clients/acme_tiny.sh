#!/bin/bash
# acme-tiny: http-01 by files in a folder that a web server serves; an RSA account, and a CSR that OpenSSL made. It
# can't revoke.
. "$CLIENTS/checks.sh"
export SSL_CERT_FILE=$ROOT
serve_challenges
openssl genrsa -out account.pem 2048
openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -noenc -keyout key.pem -out request.pem \
  -subj /CN=tiny.example.com -addext 'subjectAltName=DNS:tiny.example.com,DNS:www.tiny.example.com'
run() { # the names are known to the CA alone, so that it is told not to look for its answers itself
  acme-tiny --directory-url "$DIRECTORY" --account-key account.pem --contact mailto:tests@example.org \
    --csr request.pem --acme-dir www/.well-known/acme-challenge --disable-check
}

step obtain
run >first.pem
issued first.pem tiny.example.com www.tiny.example.com

step renew
run >second.pem
issued second.pem tiny.example.com www.tiny.example.com
renewed first.pem second.pem
