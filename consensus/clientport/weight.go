package clientport

// A thousand requests may wait for the disk, and each may have a megabyte: that many bytes nobody needs in
// memory. A batch of many bytes is weighed until it is answered. A connection above its bound is not read,
// nor, above the bound of all, one that has such a batch: who has none can always ask.
const (
	heavyBatch  = 16 << 10
	mostWeight  = 8 << 20  // of one connection
	mostWeights = 64 << 20 // of all
)

// A credit is what was answered, and lets readers go on.
type credit struct {
	frames int
	large  int // bytes of large frames
	heavy  int // bytes of heavy batches
}

func (c *credit) add(b credit) {
	c.frames += b.frames
	c.large += b.large
	c.heavy += b.heavy
}

// weighBatch counts a batch on its way to the member.
func (c *Conn) weighBatch(b *Batch) {
	c.queued += int64(b.Count)
	n := len(b.Frames)
	if n < heavyBatch {
		return
	}
	c.mu.Lock()
	c.heavy = append(c.heavy, mark{frame: c.queued, bytes: n})
	c.mu.Unlock()
	c.weight.Add(int64(n))
	c.server.weight.Add(int64(n))
}

// overweight says that the reader has to wait until something heavy is answered.
func (c *Conn) overweight() bool {
	own := c.weight.Load()
	return own >= mostWeight || own > 0 && c.server.weight.Load() >= mostWeights
}
