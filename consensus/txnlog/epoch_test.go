package txnlog

import "testing"

// Apache's server alone on a host leaves epochs behind that nobody counts.
func TestEpochsOfAServerAlone(t *testing.T) {
	const dir = "d/version-2/"
	r := newRig(t, Config{Alone: true})
	r.start()
	if err := r.finish(); err != nil {
		t.Fatal(err)
	}
	r.fs.live[dir+"snapshot.500000000"] = r.fs.live[dir+"snapshot.0"]
	r.fs.live[dir+"currentEpoch"] = &inode{data: []byte("2")}
	r.fs.live[dir+"acceptedEpoch"] = &inode{data: []byte("1")}
	if _, _, err := r.load(); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"currentEpoch", "acceptedEpoch"} {
		if got := string(r.fs.live[dir+name].data); got != "5" {
			t.Errorf("%s is %q, want 5", name, got)
		}
	}
}
