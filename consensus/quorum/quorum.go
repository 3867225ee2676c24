// Package quorum says which sets of voters decide.
//
// Any two quorums of a Verifier share a voter: that one knows what the other quorum decided, and this is
// the only reason why two leaders cannot both succeed. The rule stands alone here because everything
// else leans on it.
//
// What is asked is never "who agrees" but "up to where does a quorum agree": acknowledgements are
// cumulative, since a log has no holes, so each voter is one number.
package quorum

import (
	"fmt"
	"slices"
)

// A SID is the number of a member of the ensemble, its myid.
type SID int64

// A Verifier holds the voters of one configuration; more than half of them are a quorum. Its zero value
// has no voters and no quorum.
type Verifier struct {
	voters []SID // sorted, distinct
}

// Majority returns the Verifier of these voters.
func Majority(voters ...SID) Verifier {
	v := slices.Clone(voters)
	slices.Sort(v)
	if len(slices.Compact(v)) != len(voters) {
		panic(fmt.Sprintf("quorum: a voter twice in %v", voters))
	}
	return Verifier{voters: v}
}

// Voters are the voters in order.
func (v Verifier) Voters() []SID { return slices.Clone(v.voters) }

// Has reports whether id is a voter.
func (v Verifier) Has(id SID) bool {
	_, ok := slices.BinarySearch(v.voters, id)
	return ok
}

// Size is how many voters the smallest quorum has.
func (v Verifier) Size() int { return len(v.voters)/2 + 1 }

// Reached returns the greatest number that a quorum of voters has reached; ok is false if there are no
// voters. reached says how far one of them is.
func (v Verifier) Reached(reached func(SID) int64) (n int64, ok bool) {
	if len(v.voters) == 0 {
		return 0, false
	}
	var few [9]int64
	all := few[:0]
	for _, id := range v.voters {
		all = append(all, reached(id))
	}
	slices.Sort(all)
	return all[len(all)-v.Size()], true
}
