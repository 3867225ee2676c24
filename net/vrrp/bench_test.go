package vrrp

import (
	"testing"
	"time"
)

// One advertisement of an Active router, from its timer to the bytes.
func BenchmarkActiveAdvertises(b *testing.B) {
	r := inActive(testConfig("10.99.0.1", 100))
	var packet []byte
	for b.Loop() {
		for _, eff := range r.Step(r.Deadline(), nil) {
			if a, ok := eff.(*Advertise); ok {
				packet = a.AppendTo(packet[:0], r.cfg.Local, GroupIPv4(), PseudoHeader)
			}
		}
	}
}

// One advertisement at a Backup, from the bytes to the timer.
func BenchmarkBackupHears(b *testing.B) {
	r := inBackup(testConfig("10.99.0.1", 100))
	src, dst, now := addr("10.99.0.9"), GroupIPv4(), epoch
	packet := Advertisement{Version: 3, VRID: 51, Priority: 150, Interval: interval, Addresses: r.cfg.Addresses}.AppendTo(nil, src, dst, PseudoHeader)
	e := Heard{From: src}
	for b.Loop() {
		now = now.Add(time.Millisecond)
		if _, err := e.Parse(packet, src, dst); err != nil {
			b.Fatal(err)
		}
		r.Step(now, &e)
	}
}

// The body of a host that holds 255 addresses.
func BenchmarkBeatOf255(b *testing.B) {
	ads := beatAds(255)
	var body []byte
	for b.Loop() {
		body, _ = AppendBeat(body[:0], ads, 1024)
		var err error
		if ads, err = ParseBeat(body, ads[:0]); err != nil {
			b.Fatal(err)
		}
	}
}
