// Package e2e runs the binary as it is shipped, in network namespaces on a
// bridge, beside real programs: nginx behind it, keepalived next to it. One
// file tells one story, and each story ends with what must be true then: one
// holder of the address, the table right, no address left behind.
//
// The tests need root and the programs that `make packages` installs. Without
// root they are skipped, except where CI=true: there a test that cannot run
// has failed.
package e2e
