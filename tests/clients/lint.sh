#!/bin/bash
# pkilint over what a profile issues: lint.sh PROFILE. It is the server's default profile here.
. "$CLIENTS/checks.sh"
profile=$1
export LEGO_CA_CERTIFICATES=$ROOT

# Short-lived certificates need point to neither CRL nor OCSP (BR 7.1.2.11.2); the linter knows Microsoft's rule only,
# of the time before there were any.
permitted=
if [ "$profile" = shortlived ]; then permitted=msft.end_entity.revocation_information_absent; fi

lint() { # lint FILE [TYPE]: RFC 5280's rules, and for a TYPE those of the Baseline Requirements; errors count
  local findings codes
  echo "$1"
  "$INSTALLED/pkilint/bin/lint_pkix_cert" lint --severity ERROR "$1"
  if [ $# = 1 ]; then return; fi
  findings=$("$INSTALLED/pkilint/bin/lint_cabf_serverauth_cert" lint --type "$2" --severity ERROR --format JSON "$1") ||
    [ $? -lt 100 ]
  codes=$(jq --raw-output --arg permitted "$permitted" \
    '.results[].finding_descriptions[].code | select(. != $permitted)' <<<"$findings")
  if [ -n "$codes" ]; then echo "$findings"; return 1; fi
}

step obtain
lego --path lego --server "$DIRECTORY" --accept-tos --email tests@example.org \
  --domains lint.example.com --domains www.lint.example.com --http --http.port ":$HTTP_PORT" run
openssl x509 -in lego/certificates/lint.example.com.crt -out final.pem
curl --silent --show-error --fail --cacert "$ROOT" --output intermediate.pem "$ADMIN/intermediates/0"
jq --raw-output 'select(.event == "precertificate") | .der' "$DATA"/audit/*.jsonl >precertificates
mapfile -t precertificates <precertificates

step lint
if [ "$profile" = internal ]; then
  [ ${#precertificates[@]} = 0 ]
  lint final.pem
  lint intermediate.pem
else
  [ ${#precertificates[@]} = 1 ]
  base64 --decode <<<"${precertificates[0]}" | openssl x509 -inform DER -out precertificate.pem
  [ "$(serial precertificate.pem)" = "$(serial final.pem)" ]
  lint precertificate.pem DV-PRE-CERTIFICATE
  lint final.pem DV-FINAL-CERTIFICATE
  lint intermediate.pem INTERNAL-UNCONSTRAINED-TLS-CA
fi

# The name of this host need not be known here; the status listener is.
crl=$(openssl x509 -in final.pem -noout -ext crlDistributionPoints 2>/dev/null \
  | sed -n 's/ *URI:http:..[^:]*/http:\/\/127.0.0.1/p') || true
lint_crl() { # lint_crl TYPE FILE ENTRIES: it has so many
  openssl crl -inform DER -in "$2" -noout -text >crl.txt
  [ "$(grep --count 'Serial Number' crl.txt)" = "$3" ]
  "$INSTALLED/pkilint/bin/lint_crl" lint --type "$1" --profile BR --severity ERROR "$2"
}

if [ -n "$crl" ]; then
  step lint the CRL
  curl --silent --show-error --fail --output crl.der "$crl"
  lint_crl CRL crl.der 0

  step lint the CRL once it has an entry
  lego --path lego --server "$DIRECTORY" --accept-tos --email tests@example.org \
    --domains lint.example.com revoke --reason 4
  for _ in $(seq 100); do
    curl --silent --show-error --fail --output crl.der "$crl"
    if openssl crl -inform DER -in crl.der -noout -text | grep --quiet Superseded; then break; fi
    sleep 0.1
  done
  lint_crl CRL crl.der 1
fi

step "lint the root's CRL"
lint_crl ARL "$DATA/root.crl" 0
"$CAIRN" root crl --data "$DATA" --out root.crl --revoke "$(serial intermediate.pem | cut --delimiter = --fields 2)" \
  --reason cACompromise
grep 'CA Compromise' <(openssl crl -inform DER -in root.crl -noout -text)
lint_crl ARL root.crl 1
