#!/bin/bash
# What relying parties make of this CA's OCSP answers: OpenSSL, GnuTLS, Python and pkilint agree on what is good,
# revoked and unknown. ocsp.sh SIGNER: `delegated` or `direct`.
. "$CLIENTS/checks.sh"
signer=$1
# GnuTLS is told who signs, unless it comes with the answer.
case $signer in
  delegated) trust=(--load-trust trusted.pem) ;;
  direct) trust=(--load-signer issuer.pem) ;;
esac
export LEGO_CA_CERTIFICATES=$ROOT
lego() { command lego --path lego --server "$DIRECTORY" --accept-tos --email tests@example.org "$@"; }

url() { # url CERTIFICATE: of the responder that it names, which is on this machine
  openssl x509 -noout -ocsp_uri -in "$1" | sed 's,//[^:/]*,//127.0.0.1,'
}

by_post() { # by_post CERTIFICATE: what OpenSSL says when it has asked
  openssl ocsp -issuer issuer.pem -CAfile trusted.pem -no_nonce "-$digest" -cert "$1" -url "$responder" 2>&1
}

by_get() { # by_get CERTIFICATE: the same, with the request in the path and the answer by itself
  openssl ocsp -issuer issuer.pem -no_nonce "-$digest" -cert "$1" -reqout request.der
  curl --silent --show-error --fail --dump-header headers --output answer.der \
    "$responder/$(base64 --wrap 0 request.der | sed 's,/,%2F,g; s,+,%2B,g; s,=,%3D,g')"
  openssl ocsp -issuer issuer.pem -CAfile trusted.pem -no_nonce "-$digest" -cert "$1" -respin answer.der 2>&1
}

agree() { # agree CERTIFICATE STATUS: all say so
  local said
  for digest in sha1 sha256; do
    for way in by_post by_get; do
      said=$($way "$1") || { echo "$way, $digest: $said"; return 1; }
      grep --quiet "^Response verify OK" <<<"$said" && grep --quiet ": $2\$" <<<"$said" || {
        echo "OpenSSL $way, $digest, has not found it $2: $said"
        return 1
      }
    done
    [ "$2" = good ] || grep --quiet 'Reason: superseded' <<<"$said"
    "$CLIENTS/python" "$CLIENTS/ocsp.py" answer.der "$1" issuer.pem "$2" "$signer"
    "$INSTALLED/pkilint/bin/lint_ocsp_response" lint --document-format DER --severity ERROR answer.der
  done
  grep --quiet --ignore-case '^content-type: application/ocsp-response' headers
  grep --quiet --ignore-case '^cache-control: max-age=3600, public' headers
  said=$(ocsptool --ask="$responder" --load-cert "$1" --load-issuer issuer.pem "${trust[@]}" 2>&1) || true
  grep --quiet "Certificate Status: $2" <<<"$said" && grep --quiet 'Verifying OCSP Response: Success' <<<"$said" || {
    echo "GnuTLS has not found it $2: $said"
    return 1
  }
  echo "all agree: $2"
}

step obtain
lego --domains ocsp.example.com --http --http.port ":$HTTP_PORT" run
cp lego/certificates/ocsp.example.com.crt chain.pem
openssl x509 -in chain.pem -out leaf.pem
cp lego/certificates/ocsp.example.com.issuer.crt issuer.pem
cat "$ROOT" issuer.pem >trusted.pem
responder=$(url leaf.pem)
[ -n "$responder" ]

step good
agree leaf.pem good
tag=$(sed -n 's/^etag: \(.*\)\r$/\1/Ip' headers)
[ "$(curl --silent --output again --write-out '%{http_code}' --header "If-None-Match: $tag" \
  "$responder/$(base64 --wrap 0 request.der | sed 's,/,%2F,g')")" = 304 ]
curl --silent --fail --head "$responder/$(base64 --wrap 0 request.der | sed 's,/,%2F,g')" |
  grep --quiet --ignore-case '^content-length: [1-9]'

step unknown
# The same certificate with another serial, which this CA has not allocated.
"$CLIENTS/python" -c '
import base64, sys
leaf = base64.b64decode("".join(open("leaf.pem").read().split("\n")[1:-2]))
serial = bytes.fromhex(sys.argv[1])
assert leaf.count(serial) == 1
other = leaf.replace(serial, serial[:-1] + bytes([serial[-1] ^ 1]))
open("stranger.der", "wb").write(other)
' "$(serial leaf.pem | cut --delimiter = --fields 2)"
openssl x509 -inform DER -in stranger.der -out stranger.pem
for digest in sha1 sha256; do
  by_get stranger.pem >unknown || true
  grep 'unauthorized (6)' unknown
  "$CLIENTS/python" "$CLIENTS/ocsp.py" answer.der stranger.pem issuer.pem unauthorized "$signer"
  by_post stranger.pem >unknown || true
  grep 'unauthorized (6)' unknown
done
ocsptool --ask="$responder" --load-cert stranger.pem --load-issuer issuer.pem "${trust[@]}" >unknown 2>&1 || true
grep 'Response Status: unauthorized' unknown
for digest in sha1 sha256; do
  openssl ocsp -issuer issuer.pem -no_nonce "-$digest" -serial 0x4c00112233445566778899aabbccddeeff -url "$responder" \
    >unknown 2>&1 || true
  grep 'unauthorized (6)' unknown
done
openssl ocsp -issuer "$ROOT" -no_nonce -cert leaf.pem -url "$responder" >unknown 2>&1 || true
grep 'unauthorized (6)' unknown

step malformed
for body in '' 'no DER at all'; do
  printf %s "$body" | curl --silent --fail --header 'Content-Type: application/ocsp-request' --data-binary @- \
    --output malformed.der "$responder"
  openssl ocsp -respin malformed.der -noverify >said 2>&1 || true
  grep 'malformedrequest (1)' said
done

step revoke
lego --domains ocsp.example.com revoke --reason 4
agree leaf.pem revoked
revoked chain.pem
