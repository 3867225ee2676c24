package vip

import (
	"net/netip"
	"testing"
	"time"
)

// One beat of 255 VIPs, as the backup hears it and as the active one sends it:
// ten of these are a second's work at 100ms.
func BenchmarkBeatOfAllVRIDs(b *testing.B) {
	for _, who := range []string{"active", "backup"} {
		b.Run(who, func(b *testing.B) {
			w := newWorld(b)
			var hi, lo []Config
			for v := 1; v <= 255; v++ {
				ip := netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 0, 1, byte(v)}), 16).String()
				hi = append(hi, gossipVIP(ip, uint8(v), 200, ip))
				lo = append(lo, gossipVIP(ip, uint8(v), 100, ip))
			}
			active, backup := w.host("a", hi...), w.host("b", lo...)
			w.run(20 * time.Second)
			h, other := active, backup
			if who == "backup" {
				h, other = backup, active
			}
			b.ReportAllocs()
			for b.Loop() {
				w.now = w.now.Add(w.beat)
				h.rider.hears(other, true)
				h.s.Wake(w.now)
			}
		})
	}
}
