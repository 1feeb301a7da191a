# What every client's test checks; to be sourced. The tests set:
#   DIRECTORY    URL of the ACME directory          ADMIN    URL of the admin listener
#   ROOT         file of the root                   DATA     the server's data folder
#   HTTP_PORT    where http-01 challenges are asked for, TLS_PORT where those of tls-alpn-01
#   DNS_SERVER   address of the DNS server that the CA asks, DNS_RECORDS folder of its TXT records (see dns_record.sh)
#   CAIRN        the server's program, for its operator
#   CLIENTS      this folder                        INSTALLED  where `./test` puts what isn't installed as a package
# The working folder is empty and belongs to the test.
set -euo pipefail
PATH=$PATH:/usr/sbin${INSTALLED:+:$INSTALLED/caddy/usr/bin}

step() { printf '\n--- %s\n' "$*"; }

verified() { # verified CHAIN NAME: it leads to the root and is good for this name
  openssl verify -purpose sslserver -verify_hostname "$2" -CAfile "$ROOT" -untrusted "$1" "$1"
}

two_scts() { # two_scts CHAIN: of two logs, and their signatures hold
  curl --silent --show-error --fail --cacert "$ROOT" --output logs.json "$ADMIN/logs"
  "$CLIENTS/python" "$CLIENTS/verify_scts.py" "$1" logs.json 2
}

issued() { # issued CHAIN NAME...: all of that
  local chain=$1 name
  shift
  for name in "$@"; do verified "$chain" "$name"; done
  two_scts "$chain"
}

serial() { openssl x509 -noout -serial -in "$1"; }

renewed() { # renewed OLD NEW: another certificate
  if [ "$(serial "$1")" = "$(serial "$2")" ]; then
    echo "the certificate was not renewed: $(serial "$1")"
    return 1
  fi
}

revoked() { # revoked CHAIN: the CRL that the certificate names says so, within ten seconds
  local url said
  url=$(openssl x509 -noout -ext crlDistributionPoints -in "$1" | sed -n 's/^ *URI://p')
  for _ in $(seq 100); do
    # Certificates name the status listener as a public host, for the linters' sake.
    curl --silent --show-error --fail --connect-to ::127.0.0.1: "$url" | openssl crl -inform DER -out crl.pem
    said=$(openssl verify -crl_check -CAfile "$ROOT" -untrusted "$1" -CRLfile crl.pem "$1" 2>&1) || true
    if grep --quiet 'certificate revoked' <<<"$said"; then
      echo "revoked, by $url"
      return
    fi
    sleep 0.1
  done
  echo "not revoked, by $url: $said"
  return 1
}

serve_challenges() { # serves www/.well-known/acme-challenge until the script ends
  mkdir -p www/.well-known/acme-challenge
  python3 -m http.server --bind 127.0.0.1 --directory www "$HTTP_PORT" 2>www.log &
  # shellcheck disable=SC2064 # the process as it is now
  trap "kill $!" EXIT
  curl --silent --fail --output www.html --retry 30 --retry-connrefused --retry-delay 1 "http://127.0.0.1:$HTTP_PORT/"
}

presents_another() { # presents_another OLD CHAIN NAME: TLS_PORT soon presents CHAIN, which is not OLD
  for _ in $(seq 300); do
    if [ -s "$2" ] && ! cmp --silent "$1" "$2" && presents "$2" "$3"; then return; fi
    sleep 0.1
  done
  echo "no other certificate than before is presented for $3"
  return 1
}

presents() { # presents CHAIN NAME: this certificate is presented for the name, and `/page` says hello
  local found
  curl --silent --fail --cacert "$ROOT" --connect-to ::127.0.0.1: --output page "https://$2:$TLS_PORT/page" || return 1
  found=$(openssl s_client -connect "127.0.0.1:$TLS_PORT" -servername "$2" </dev/null 2>s_client.log |
    openssl x509 -noout -serial)
  [ "$found" = "$(serial "$1")" ] && [ "$(cat page)" = hello ]
}
