package tree

// A Walk writes the tree as it was when the walk began, some znodes at a time, while transactions are
// applied in between: a znode that is about to change and is not yet written is written first.
type Walk struct{}

// MaxWalks is how many walks a tree has at a time.
const MaxWalks = 4

// Snapshot begins a walk; sessions (timeouts in milliseconds) are copied. It is nil when there are MaxWalks.
func (t *Tree) Snapshot(sessions map[int64]int32) *Walk { return nil }

// Next appends about as many znodes to b, or fewer if they are long, and says whether that was all. What
// it appends, put together, is the stream that Load reads, up to and with the path "/" at its end.
func (w *Walk) Next(b []byte, nodes int) (out []byte, done bool) { return b, true }

// Zxid is the last transaction that is in the snapshot.
func (w *Walk) Zxid() int64 { return 0 }

// Digest is the tree's at that zxid.
func (w *Walk) Digest() uint64 { return 0 }

// Close ends a walk before its end; afterwards it does nothing.
func (w *Walk) Close() {}
