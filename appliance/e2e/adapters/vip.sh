# shellcheck shell=bash disable=SC2034,SC2153
# ha under a failover harness that keepalived runs under too. The harness sources this file and calls
# the functions; it sets RUN IF VRID ADVERT_MS PRIO1 PRIO2 PREEMPT FAM NVIP NET4 VIP VIP6 VERSION VMAC UNICAST
# and the function ns, which names a node's network namespace. RTPRIO is heeded by itself: ha asks for
# realtime scheduling always.
#   CARRIER  gossip (default) or vrrp, for a harness with keepalived on the other side
#   HA_BIN   the binary; default: bin/ha of this repository
#   HA_EXTRA more lines for each [[vip]]
CARRIER=${CARRIER:-gossip}
HA_BIN=${HA_BIN:-$(cd "$(dirname "${BASH_SOURCE[0]}")/../../.." && pwd)/bin/ha}

adapter_name() { echo "$("$HA_BIN" version 2>/dev/null | head -1), carrier $CARRIER"; }

ha_ip() { if [ "$FAM" = 6 ]; then echo "fd99::$1"; else echo "$NET4.$1"; fi; }
ha_bind() { if [ "$FAM" = 6 ]; then echo "[fd99::$1]:7946"; else echo "$NET4.$1:7946"; fi; }

# ha_addresses K: what the K-th virtual router holds.
ha_addresses() {
  if [ "$NVIP" -gt 1 ]; then echo "\"10.99.$((1 + $1 / 250)).$(($1 % 250 + 1))/32\""
  elif [ "$FAM" != 6 ]; then echo "\"$VIP/24\""
  elif [ "$CARRIER" = vrrp ]; then echo "\"fe80::5e00:1/64\", \"$VIP6/64\""
  else echo "\"$VIP6/64\""; fi
}

adapter_conf() { # NODE
  local i=$1 j=$((3 - $1)) prio=$PRIO1 k
  [ "$i" = 2 ] && prio=$PRIO2
  cat <<CONF
roles = ["vip"]
node  = "d$i"
[cluster]
name     = "bench"
bind     = "$(ha_bind "$i")"
join     = ["$(ha_bind "$j")"]
key_file = "$RUN/ha.key"
$([ "$CARRIER" = gossip ] && echo "interval = \"${ADVERT_MS}ms\"")
[admin]
socket = "$RUN/ha$i.sock"
listen = "none"
CONF
  for ((k = 0; k < NVIP; k++)); do
    cat <<CONF
[[vip]]
name      = "v$k"
vrid      = $((NVIP > 1 ? k + 1 : VRID))
addresses = [$(ha_addresses $k)]
interface = "$IF"
priority  = $prio
preempt   = $([ "$PREEMPT" = 0 ] && echo false || echo true)
interval  = "${ADVERT_MS}ms"
carrier   = "$CARRIER"
$([ "$CARRIER" = vrrp ] && echo "version   = $VERSION")
$([ "$CARRIER" = vrrp ] && [ "$UNICAST" = 1 ] && echo "peers     = [\"$(ha_ip "$j")\"]")
$([ "${VMAC:-0}" = 1 ] && echo "virtual_mac = true")
$(printf '%b' "${HA_EXTRA:-}")
CONF
  done
}

adapter_start() { # NODE
  local i=$1
  [ -s "$RUN/ha.key" ] || (umask 077 && head -c 32 /dev/urandom | base64 -w 0 >"$RUN/ha.key" && echo >>"$RUN/ha.key")
  adapter_conf "$i" >"$RUN/ha$i.toml"
  setsid ip netns exec "$(ns "$i")" "$HA_BIN" run -c "$RUN/ha$i.toml" >>"$RUN/d$i.log" 2>&1 </dev/null &
  disown
  echo $! >"$RUN/d$i.pid"
  sleep 0.2
  kill -0 "$(cat "$RUN/d$i.pid")" 2>/dev/null || { echo "ha $i did not start:" >&2; tail -5 "$RUN/d$i.log" >&2; return 1; }
}

ha_tree() { local p; for p in "$@"; do echo "$p"; ha_tree $(cat /proc/"$p"/task/*/children 2>/dev/null); done; }
adapter_pids() { ha_tree "$(cat "$RUN/d$1.pid")"; }
adapter_stop() { kill -TERM "$(cat "$RUN/d$1.pid")" 2>/dev/null; }
adapter_stop_action() { echo "term:$(cat "$RUN/d$1.pid")"; }
adapter_kill() { [ -s "$RUN/d$1.pid" ] && kill -9 $(adapter_pids "$1") 2>/dev/null; true; }
