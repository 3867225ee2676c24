package zoocfg

import (
	"os"

	"example.org/ha/consensus/sasl"
)

// loginConfig is the property of Java that names the file with the users of SASL.
const loginConfig = "java.security.auth.login.config"

// jaas looks into that file. Like ZooKeeper it can do without: the file may be there for a client in the
// same configuration. Who asks for SASL otherwise needs it.
func (r *reader) jaas() {
	c := &r.cfg
	if c.JAAS == "" {
		if r.sasl && len(c.SASLUsers) == 0 {
			r.notes = append(r.notes, Note{Place: r.file, Key: "authProvider", Warning: true,
				Text: "asks for SASL, and " + loginConfig + " names no users: nobody can log in with it"})
		}
		return
	}
	section := c.JAASSection
	if section == "" {
		section = "Server"
	}
	text, err := os.ReadFile(c.JAAS)
	if err == nil {
		_, err = sasl.ParseJAAS(c.JAAS, text, section)
	}
	if err == nil {
		return
	}
	e := r.given[loginConfig]
	if _, asked := r.given["sasl.serverconfig"]; asked {
		r.bad(e, "%v", err)
		return
	}
	r.harmless(e, err.Error())
	c.JAAS = ""
}
