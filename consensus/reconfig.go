package consensus

import "example.org/ha/consensus/jute"

// prepareReconfig refuses: a member that stands alone has nothing to reconfigure.
func (d *database) prepareReconfig(w *draft, _ *jute.Request, _ *jute.Txn) jute.Code {
	switch {
	case !d.rules.reconfig:
		return jute.ReconfigDisabled
	case !w.alive:
		return jute.SessionExpired
	}
	return jute.Unimplemented
}

// appendConfig appends the text of the configuration that is in force.
func (d *database) appendConfig(b []byte) []byte {
	return jute.AppendBuffer(b, d.tree.Node(configPath).Data())
}
