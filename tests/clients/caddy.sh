#!/bin/bash
# Caddy: its automatic HTTPS obtains by the challenge that its configuration leaves, and renews: caddy.sh http, or
# caddy.sh tls-alpn. It can't revoke.
. "$CLIENTS/checks.sh"
challenge=$1
[ "$challenge" = http ] && other=tls-alpn || other=http
authority=${DIRECTORY#https://} # a folder is named after it, with dashes
chain=storage/certificates/${authority//[:\/]/-}/caddy.example.com/caddy.example.com.crt

configuration() { # configuration WINDOW: it renews what is in the last WINDOW of its lifetime
  cat <<JSON
{
  "admin": {"disabled": true, "config": {"persist": false}},
  "storage": {"module": "file_system", "root": "$PWD/storage"},
  "apps": {
    "http": {
      "http_port": $HTTP_PORT, "https_port": $TLS_PORT,
      "servers": {"tests": {
        "listen": ["127.0.0.1:$TLS_PORT"],
        "routes": [{
          "match": [{"host": ["caddy.example.com"]}],
          "handle": [{"handler": "static_response", "body": "hello"}]
        }]
      }}
    },
    "tls": {"automation": {"policies": [{
      "renewal_window_ratio": $1,
      "issuers": [{
        "module": "acme", "ca": "$DIRECTORY", "trusted_roots_pem_files": ["$ROOT"], "email": "tests@example.org",
        "challenges": {
          "http": {"alternate_port": $HTTP_PORT}, "tls-alpn": {"alternate_port": $TLS_PORT},
          "$other": {"disabled": true}
        }
      }]
    }]}}
  }
}
JSON
}

start() { # start WINDOW: in the background, until stop
  configuration "$1" >caddy.json
  caddy run --config caddy.json 2>caddy.log &
  caddy=$!
}

stop() { kill "$caddy" && wait "$caddy" || true; }
trap stop EXIT

obtained() { # obtained OLD
  presents_another "$1" "$chain" caddy.example.com || { tail caddy.log; return 1; }
}

step obtain
start 0.3
obtained /dev/null
issued "$chain" caddy.example.com
cp "$chain" first.pem
stop

step renew
start 1
obtained first.pem
issued "$chain" caddy.example.com
renewed first.pem "$chain"
