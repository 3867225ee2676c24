// Package clients is a module of its own, so that the programs whose tests are run against ha, and what
// they need, are no part of ha's. It holds nothing but their versions.
package clients

import _ "github.com/go-zookeeper/zk"
