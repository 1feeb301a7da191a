#!/bin/bash
# Apache's mod_md: http-01, by the web server itself; it renews when the CA says that it is time (RFC 9773). It can't
# revoke.
. "$CLIENTS/checks.sh"
places=(/usr/lib/apache2 /usr/lib64/httpd /usr/libexec/apache2)
modules=$(dirname "$(find "${places[@]}" -name mod_md.so 2>/dev/null | head -n 1)")
# The processes of a server that root starts belong to another user, who must be let into the folder.
cd "$(mktemp --directory)"
chmod go+x .
install --mode 644 "$ROOT" root.pem
chain=store/domains/apache.example.com/pubcert.pem
mkdir pages
echo hello >pages/page

configuration() {
  cat <<CONFIG
ServerRoot $PWD
ServerName localhost
PidFile apache.pid
ErrorLog apache.log
Listen 127.0.0.1:$HTTP_PORT
Listen 127.0.0.1:$TLS_PORT
LoadModule mpm_event_module $modules/mod_mpm_event.so
LoadModule authz_core_module $modules/mod_authz_core.so
<IfModule !mod_watchdog.c>
  LoadModule watchdog_module $modules/mod_watchdog.so
</IfModule>
LoadModule ssl_module $modules/mod_ssl.so
LoadModule md_module $modules/mod_md.so
LogLevel info md:debug
DocumentRoot pages
MDStoreDir store
MDPortMap http:$HTTP_PORT https:$TLS_PORT
MDCertificateAuthority $DIRECTORY
MDCACertificateFile $PWD/root.pem
MDCertificateAgreement accepted
MDContactEmail tests@example.org
MDRetryDelay 1s
MDRenewWindow 30d
MDRenewViaARI on
MDomain apache.example.com www.apache.example.com
<VirtualHost 127.0.0.1:$TLS_PORT>
  ServerName apache.example.com
  ServerAlias www.apache.example.com
  SSLEngine on
</VirtualHost>
CONFIG
  if [ "$(id -u)" = 0 ]; then printf 'User nobody\nGroup %s\n' "$(id --group --name nobody)"; fi
}

apache() { apache2 -d "$PWD" -f "$PWD/apache.conf" "$@"; }

start() { # until stop
  configuration >apache.conf
  apache -k start
}

stop() {
  [ -s apache.pid ] || return 0
  local process
  process=$(cat apache.pid)
  apache -k stop
  for _ in $(seq 100); do
    kill -0 "$process" 2>/dev/null || return 0
    sleep 0.1
  done
}
trap 'stop; rm -r "$PWD"' EXIT

obtained() { # obtained OLD: what it has obtained is taken at a restart, and then served
  for _ in $(seq 300); do
    if [ -s store/staging/apache.example.com/pubcert.pem ]; then break; fi
    sleep 0.1
  done
  apache -k restart
  presents_another "$1" "$chain" apache.example.com || { grep md: apache.log | tail; return 1; }
}

step obtain
start
obtained /dev/null
issued "$chain" apache.example.com www.apache.example.com
cp "$chain" first.pem
stop

step renew, when the CA asks for it
"$CAIRN" renew shift --data "$DATA" --name apache.example.com --now
start
obtained first.pem
issued "$chain" apache.example.com www.apache.example.com
renewed first.pem "$chain"
