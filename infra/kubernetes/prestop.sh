#!/bin/sh
# A preStop hook: asks heapcatch whether this pod is worth a heap dump, and holds it for as long as its JVM is needed for one.
# It ends within its time and with 0, whatever happens: a hook must never be why a pod cannot go.
#
#   prestop.sh [CONTAINER]     the container that it runs in, where the pod has several
#
#   HEAPCATCH_URL              http://heapcatch-forwarder.heapcatch.svc:8081
#   HEAPCATCH_TOKEN_FILE       /var/run/heapcatch/token, of the audience heapcatch
#   HEAPCATCH_HOLD_SECONDS     300, the longest hold; the forwarder keeps to the pod's grace period by itself
#   HEAPCATCH_LOG              /proc/1/fd/1, the container's own log
#
# POSIX sh, with curl, wget (BusyBox's too), or bash, which can open a connection by itself. https takes curl.

trap 'exit 0' EXIT
trap 'exit 0' HUP INT TERM
# The forwarder is in the cluster, whatever proxy the application uses.
unset http_proxy https_proxy all_proxy HTTP_PROXY HTTPS_PROXY ALL_PROXY

url=${HEAPCATCH_URL:-http://heapcatch-forwarder.heapcatch.svc:8081}
url=${url%/}
token_file=${HEAPCATCH_TOKEN_FILE:-/var/run/heapcatch/token}
log_file=${HEAPCATCH_LOG:-/proc/1/fd/1}
hold_seconds=${HEAPCATCH_HOLD_SECONDS:-300}
container=${1:-}

log() {
  line=$(printf 'heapcatch preStop: %.500s' "$1")
  { echo "$line" >>"$log_file"; } 2>/dev/null || echo "$line" >&2
}

leave() {
  log "$1"
  exit 0
}

now() {
  date +%s 2>/dev/null || echo 0
}

# Runs a command for $limit seconds at most. What it leaves behind holds none of the hook's streams: the kubelet waits for them.
bounded() {
  "$@" &
  job=$!
  (
    sleep "$limit"
    kill "$job"
  ) >/dev/null 2>&1 &
  guard=$!
  wait "$job"
  kill "$guard" 2>/dev/null
}

# One request, answered within $limit seconds: the body, or a tool's words of what went wrong. Arguments can be seen by
# whoever sees the process, so that the token is none of curl's and bash's; wget knows no other way.
request() {
  case $tool in
    curl)
      printf 'header = "Authorization: Bearer %s"\n' "$token" |
        curl -q --silent --show-error --max-time "$limit" --config - --data '' \
          --write-out ' status=%{http_code}' "$url$1"
      ;;
    wget)
      bounded wget -q -O - -t 1 --content-on-error \
        --header "Authorization: Bearer $token" --post-data '' "$url$1"
      ;;
    busybox)
      # Without -T: Debian's static build has none, and crashes when it is asked for one.
      bounded wget -q -O - \
        --header "Authorization: Bearer $token" --post-data '' "$url$1"
      ;;
    bash)
      address=${url#http://}
      host=${address%%:*}
      port=${address#"$host"}
      port=${port#:}
      HEAPCATCH_TOKEN=$token bounded bash -c '
        exec 3<>"/dev/tcp/$1/$2" || exit
        printf "POST %s HTTP/1.0\r\nHost: %s\r\nAuthorization: Bearer %s\r\nContent-Length: 0\r\n\r\n" \
          "$3" "$1" "$HEAPCATCH_TOKEN" >&3
        for ((count = 0; count < 40; count += 1)); do
          IFS= read -r -n 1024 line <&3 || count=40
          printf "%s\n" "$line"
        done' bash "$host" "${port:-80}" "$1"
      ;;
  esac 2>&1 | head -c 4096 | tr -cd '\040-\176'
}

case $hold_seconds in
  '' | *[!0-9]* | ??????*)
    log "HEAPCATCH_HOLD_SECONDS is '$hold_seconds', accepted is a whole number; 300 is taken"
    hold_seconds=300
    ;;
esac

if command -v curl >/dev/null 2>&1; then
  tool=curl
elif command -v wget >/dev/null 2>&1; then
  tool=wget
  case $(wget --help 2>&1 | head -n 5) in *BusyBox*) tool=busybox ;; esac
elif command -v bash >/dev/null 2>&1; then
  tool=bash
else
  leave 'nobody is asked: there is neither curl nor wget nor bash in the image; use the sleep hook'
fi
case $url in
  http://*) ;;
  https://*) [ "$tool" = curl ] || leave "nobody is asked: $url needs curl, and there is $tool" ;;
  *) leave "nobody is asked: HEAPCATCH_URL is '$url', accepted is http(s)://host:port" ;;
esac
case $container in
  *[!-a-z0-9]*) leave "nobody is asked: '$container' is no name of a container" ;;
esac

begun=$(now)
heard=$begun
patience=6
count=0
quick=0
wait_seconds=0
# By the clock, and by a count where the clock is set back.
while [ $(($(now) - begun)) -lt "$hold_seconds" ] && [ "$count" -lt "$hold_seconds" ]; do
  count=$((count + 1))
  # Read each time: the kubelet renews it.
  token=$(head -c 8192 "$token_file" 2>/dev/null)
  case $token in
    '' | *[!-._A-Za-z0-9]*) leave "nobody is asked: $token_file holds no token" ;;
  esac
  left=$((hold_seconds - ($(now) - begun)))
  [ "$wait_seconds" -le "$left" ] || wait_seconds=$left
  limit=$((wait_seconds + 5))
  answer=$(request "/v1/pre-stop?wait=$wait_seconds${container:+&container=$container}")
  case $answer in
    *'"hold":false'*) leave "lets go: $answer" ;;
    *'"hold":true'*)
      [ "$wait_seconds" -gt 0 ] || log "holds: $answer"
      heard=$(now)
      patience=15
      wait_seconds=20
      quick=0
      ;;
    *' status=4'[0-9][0-9]* | *' HTTP/1.'[01]' 4'[0-9][0-9]* | 'HTTP/1.'[01]' 4'[0-9][0-9]*)
      leave "refused: $answer"
      ;;
    *)
      [ $(($(now) - heard)) -lt "$patience" ] || leave "gives up: $answer"
      # Of two forwarders one answers and the other says 503: the next connection may find the first.
      quick=$((quick + 1))
      case $answer in
        *503* | *'another forwarder'*) [ "$quick" -gt 8 ] || continue ;;
      esac
      ;;
  esac
  sleep 1
done
leave "lets go: its $hold_seconds s are over"
