package tree

import "testing"

// The digest that Apache ZooKeeper 3.8 writes for a server that saw no transaction.
func TestDigestAtBirth(t *testing.T) {
	tr := New(Config{})
	if got := tr.Digest(); got != 0x51c6d660 {
		t.Errorf("digest 0x%x, want 0x51c6d660", got)
	}
	if tr.Len() != 5 || tr.DataSize() != 44 {
		t.Errorf("%d znodes of %d bytes, mntr of Apache's server says 5 and 44", tr.Len(), tr.DataSize())
	}
}
