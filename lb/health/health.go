// Package health decides when a real server is asked and what its answers mean.
package health
