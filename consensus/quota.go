package consensus

// A quotaExceeded says whose quota a write passes: a line for the log.
type quotaExceeded struct {
	path        string // of the subtree that has the quota
	bytes       bool   // of bytes; else of znodes
	hard        bool
	used, limit int64 // used: with the write
}

// withinQuota is false if a write that adds so many znodes and bytes at path is to be refused: a hard
// limit would be passed, and is enforced. Any other limit that it passes is noted in w. What is pending
// does not count yet, so limits may be passed by what is on its way, as in ZooKeeper.
func (d *database) withinQuota(w *draft, path string, znodes, bytes int64) bool {
	if znodes == 0 && bytes == 0 {
		return true
	}
	q, ok := d.tree.Quota(path)
	if !ok {
		return true
	}
	refused := d.note(w, q.Path, passed(q.Count, znodes, q.Limits.Count, q.Limits.CountHard))
	if over := passed(q.Bytes, bytes, q.Limits.Bytes, q.Limits.BytesHard); over != nil && !refused {
		over.bytes = true
		refused = d.note(w, q.Path, over)
	}
	return !refused
}

// note remembers a limit that was passed, and reports whether the write is refused for it.
func (d *database) note(w *draft, path string, over *quotaExceeded) bool {
	if over == nil {
		return false
	}
	over.path = path
	w.over = over
	return over.hard && d.rules.enforceQuota
}

// passed compares what is used, and added, with the hard limit if there is one, else with the soft one.
func passed(used, more, soft, hard int64) *quotaExceeded {
	limit := soft
	if hard > -1 {
		limit = hard
	}
	if more == 0 || limit < 0 || used+more <= limit {
		return nil
	}
	return &quotaExceeded{hard: hard > -1, used: used + more, limit: limit}
}
